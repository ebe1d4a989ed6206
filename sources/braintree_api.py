"""Braintree's API: its searches for transactions and disputes, and single transactions, in XML.

Paths, criteria and the shape of answers are those of braintree_python: a search tells the ids of all that it found, at
most 20,000, which are then fetched page by page. There is no search by when a transaction last changed, so what can
still change is asked about; and none for the webhooks of a merchant.
"""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from sources.base import Message, NotUnderstood
from sources.braintree_transactions import ID, KEPT, STATE, can_change, is_refund
from sources.http_client import HttpClient, Reply
from sources.parsing import JsonObject, as_object, canonical
from sources.polling import (
    Answer,
    ApiFailed,
    Feed,
    Fetched,
    GatewayPoller,
    Listed,
    facts_in,
    listed_in,
    state_message,
    thinning_out,
)
from sources.xml_parsing import xml_items, xml_object

if TYPE_CHECKING:
    from sources.braintree import Braintree

FOUND_MAX = 20_000
PAGES_MAX = 1000
WINDOW = 7 * DAY
ASK_FOR = 90 * DAY
"""So long a refund is asked about: it settles within days, and a bank can send a debit back for about two months."""
DISPUTED_FOR = 120 * DAY
"""So long after it was received a dispute is decided."""

_REFUNDS = '<type type="array"><item>credit</item></type>'
_SALES = '<type type="array"><item>sale</item></type>'


class BraintreePoller(GatewayPoller):
    """The API of one merchant."""

    def __init__(self, source: "Braintree", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        self._source = source
        self._clock = clock
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        self._path = f"/merchants/{settings.merchant_id}"
        credentials = f"{settings.public_key}:{settings.private_key.get_secret_value()}"
        self._headers = {
            "authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
            "accept": "application/xml",
            "content-type": "application/xml",
            "x-apiversion": "6",
        }

    def feeds(self) -> Sequence[Feed]:
        """Refunds by when they were made, voided sales by when that was, and disputes that may still be decided."""
        return (
            Feed("refunds", self._refunds, window=WINDOW, overlap=DAY, lag=60 * SECOND),
            Feed("voids", self._voids, window=WINDOW, overlap=DAY, lag=60 * SECOND),
            Feed("disputes", self._disputes, window=2 * DISPUTED_FOR, overlap=DISPUTED_FOR),
        )

    async def ask(self, about: str, age: Instant) -> Answer:
        """The state of one transaction, as "refund:8xk2v9qz" or "payment:…"."""
        own = about.partition(":")[2]
        if not ID.fullmatch(own):
            return Answer(Fetched(self._clock(), []), None)
        reply = await self._call("GET", f"/transactions/{own}")
        if reply.status == 404:
            return Answer(Fetched(reply.as_of, []), thinning_out(age, DAY))  # it may not be there at once
        transaction = _member(_told(reply), "transaction")
        pause = thinning_out(age, ASK_FOR)
        changes = can_change(transaction) if is_refund(transaction) else "never"
        if changes == "never":
            pause = None
        elif changes == "late" and pause is not None:
            pause = max(pause, DAY)
        return Answer(Fetched(reply.as_of, [_state("transaction", transaction)]), pause)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds, voids and disputes that took money, as the ledger reads them."""
        for start in range(since, until, WINDOW):
            for fetch in (self._refunds, self._voids):
                async for fetched in fetch(start, min(start + WINDOW, until)):
                    yield listed_in(facts_in(self._source, fetched), since, until)
        # The search goes by the day on which one was received, the ledger by when it took the money.
        async for fetched in self._disputes(since - DISPUTED_FOR, until):
            yield listed_in(facts_in(self._source, fetched), since, until)

    async def faults(self) -> list[str]:
        """Nothing but what a call with wrong keys raises: the merchant's webhooks cannot be listed."""
        now = self._clock()
        await self._search(f"{_REFUNDS}{_between('created_at', now - SECOND, now)}")
        return []

    # Searches --------------------------------------------------------------------------------------------------------

    def _refunds(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        return self._transactions(f"{_REFUNDS}{_between('created_at', since, until)}")

    def _voids(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        return self._transactions(f"{_SALES}{_between('voided_at', since, until)}")

    async def _transactions(self, criteria: str) -> AsyncIterator[Fetched]:
        ids, size = await self._search(criteria)
        for first in range(0, len(ids), size):
            asked = ids[first : first + size]
            wanted = "".join(f"<item>{own}</item>" for own in asked)
            body = f'<search>{criteria}<ids type="array">{wanted}</ids></search>'
            reply = await self._call("POST", "/transactions/advanced_search", body)
            page = _member(_told(reply), "credit_card_transactions")
            found = xml_items(page.get("transaction"))
            if len(found) != len(asked):
                raise ApiFailed("a search: not every transaction that was found is told")
            yield Fetched(reply.as_of, [_state("transaction", one) for one in found])

    async def _search(self, criteria: str) -> tuple[list[str], int]:
        """The ids of what fits, and how many of them may be asked for at once."""
        reply = await self._call("POST", "/transactions/advanced_search_ids", f"<search>{criteria}</search>")
        results = _member(_told(reply), "search_results")
        ids = [own for own in xml_items(results.get("ids")) if isinstance(own, str) and ID.fullmatch(own)]
        if len(ids) != len(xml_items(results.get("ids"))):
            raise ApiFailed("a search: an id that is none")
        if len(ids) >= FOUND_MAX:
            raise ApiFailed(f"a search found more than Braintree tells of: {FOUND_MAX}")
        return ids, min(_number(results, "page_size"), 1000)

    async def _disputes(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        body = f"<search>{_between('received_date', since, until)}</search>"
        for page in range(1, PAGES_MAX + 1):
            reply = await self._call("POST", f"/disputes/advanced_search?page={page}", body)
            told = _member(_told(reply), "disputes")
            yield Fetched(reply.as_of, [_state("dispute", one) for one in xml_items(told.get("dispute"))])
            if page * _number(told, "page_size") >= _number(told, "total_items", least=0):
                return
        raise ApiFailed(f"the search for disputes has no end after {PAGES_MAX} pages")

    # Requests --------------------------------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: str | None = None) -> Reply:
        """A reply with status 200; to a GET also 404. Raises ApiFailed."""
        content = None if body is None else f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode()
        reply = await self._http.call(method, self._path + path, self._headers, content)
        if reply.status != 200 and (method, reply.status) != ("GET", 404):
            raise ApiFailed(f"{path.partition('?')[0]}: HTTP {reply.status}")
        return reply


def _between(name: str, since: Instant, until: Instant) -> str:
    low, high = (to_rfc3339(at // SECOND * SECOND) for at in (since, until))
    return f'<{name}><min type="datetime">{low}</min><max type="datetime">{high}</max></{name}>'


def _state(thing: str, value: object) -> Message:
    told: dict[str, Any] = value if isinstance(value, dict) else {}
    kept = {name: told[name] for name in KEPT[thing] if name in told}
    kept["status_history"] = [_only(step, "status", "timestamp") for step in xml_items(told.get("status_history"))]
    if thing == "dispute":
        kept["transaction"] = _only(told.get("transaction"), "id")
    return state_message(STATE + thing, kept.get("id"), canonical(kept))


def _only(value: object, *names: str) -> JsonObject:
    return {name: value[name] for name in names if name in value} if isinstance(value, dict) else {}


def _told(reply: Reply) -> JsonObject:
    try:
        return xml_object(reply.body)
    except NotUnderstood as error:
        raise ApiFailed(f"an answer: {error}") from None


def _member(told: JsonObject, name: str) -> JsonObject:
    try:
        return as_object(told.get(name), name)
    except NotUnderstood as error:
        raise ApiFailed(f"an answer: {error}") from None


def _number(told: JsonObject, name: str, least: int = 1) -> int:
    text = str(told.get(name))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ApiFailed(f"an answer: {name} is not a number")
    return int(text)
