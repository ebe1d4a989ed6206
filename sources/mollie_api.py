"""Mollie's API: its lists of refunds and chargebacks, and single payments with what became of them.

Paths and fields are those of Mollie's published specification (mollie/openapi): lists come newest first, at most 250 a
page, begin at a given id, and know no filter by time. An API key may not read webhook subscriptions.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ledger.facts import RefundFact
from ledger.instants import DAY, Instant, from_rfc3339
from sources.base import Message
from sources.http_client import HttpClient, Reply
from sources.mollie import ID, STATE
from sources.parsing import JsonObject, canonical
from sources.polling import (
    ABSENT,
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

if TYPE_CHECKING:
    from sources.mollie import Mollie

PAGE = 250
PAGES_MAX = 1000
EVER = 36_500 * DAY
PENDING_FOR = 90 * DAY
FAILS_WITHIN = 30 * DAY
"""So long after it was made a refund that is paid out may still come back."""
REVERSED_WITHIN = 120 * DAY

_KEPT = (
    "id",
    "mode",
    "status",
    "amount",
    "amountCaptured",
    "description",
    "metadata",
    "paymentId",
    "createdAt",
    "reversedAt",
)
"""What is kept of an entity: nothing about the customer."""


class MolliePoller(GatewayPoller):
    """The API of one profile."""

    def __init__(self, source: "Mollie", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        assert settings.api_key
        self._source = source
        self._clock = clock
        self._headers = {"authorization": f"Bearer {settings.api_key.get_secret_value()}"}
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))

    def feeds(self) -> Sequence[Feed]:
        """Both lists, newest first and back to where the last walk ended, or to what may still be reversed."""
        return (
            Feed("refunds", self._refunds, window=EVER, overlap=DAY),
            Feed("chargebacks", self._chargebacks, window=EVER, overlap=REVERSED_WITHIN),
        )

    async def ask(self, about: str, age: Instant) -> Answer:
        """A payment with its refunds and chargebacks, as "payment:tr_1"; or one of those, as "refund:re_1"."""
        kind, _, own = about.partition(":")
        if not ID.fullmatch(own):
            return Answer(Fetched(self._clock(), []), None)
        if kind == "payment":
            return await self._ask_payment(own)
        # A list that begins with it: an API path of its own would need the payment's id.
        reply = await self._get(f"/v2/{kind}s?from={own}&limit=1", *ABSENT)
        listed = _entities(reply, kind) if reply.status == 200 else ()
        found = [entity for entity in listed if entity.get("id") == own]
        fetched = Fetched(reply.as_of, [_message(kind, entity) for entity in found])
        return Answer(fetched, self._again(fetched, age))

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds and chargebacks, as the ledger reads them."""
        for fetch in (self._refunds, self._chargebacks):
            async for fetched in fetch(since, until):
                yield listed_in(facts_in(self._source, fetched), since, until)

    async def faults(self) -> list[str]:
        """Nothing but what a call with a wrong key raises."""
        await self._get("/v2/refunds?limit=1")
        return []

    def _refunds(self, since: Instant, _until: Instant) -> AsyncIterator[Fetched]:
        return self._pages("refund", since)

    def _chargebacks(self, since: Instant, _until: Instant) -> AsyncIterator[Fetched]:
        return self._pages("chargeback", since)

    async def _pages(self, kind: str, since: Instant) -> AsyncIterator[Fetched]:
        path = f"/v2/{kind}s?limit={PAGE}"
        begin = ""
        for _ in range(PAGES_MAX):
            reply = await self._get(path + begin)
            entities = list(_entities(reply, kind))
            yield Fetched(reply.as_of, [_message(kind, entity) for entity in entities])
            following = _next(reply)
            oldest = next((made for entity in reversed(entities) if (made := _made(entity)) is not None), since)
            if following is None or not entities or oldest < since:
                return
            if begin == f"&from={following}":
                raise ApiFailed(f"the list of {kind}s: its next page is the same")
            begin = f"&from={following}"
        raise ApiFailed(f"the list of {kind}s has no end after {PAGES_MAX} pages")

    async def _ask_payment(self, own: str) -> Answer:
        reply = await self._get(f"/v2/payments/{own}?embed=refunds,chargebacks", *ABSENT)
        if reply.status != 200:
            return Answer(Fetched(reply.as_of, []), None)  # anybody can hint at what is not there
        payment = reply.object()
        messages = [_message("payment", payment)]
        for kind in ("refund", "chargeback"):
            messages += [_message(kind, entity) for entity in _embedded(payment, kind)]
        return Answer(Fetched(reply.as_of, messages), None)

    def _again(self, fetched: Fetched, age: Instant) -> Instant | None:
        try:
            facts = facts_in(self._source, fetched)
        except ApiFailed:
            return None  # it is journalled, and set aside with its reason when it is interpreted
        statuses = [fact.status for fact in facts if isinstance(fact, RefundFact)]
        if "pending" in statuses:
            return thinning_out(age, PENDING_FOR)
        if "succeeded" in statuses and age < FAILS_WITHIN:
            return DAY
        return None

    async def _get(self, path: str, *others: int) -> Reply:
        """A reply with status 200, or one of these others. Raises ApiFailed."""
        reply = await self._http.call("GET", path, self._headers)
        if reply.status not in (200, *others):
            raise ApiFailed(f"{path.partition('?')[0]}: HTTP {reply.status}")
        return reply


def _message(kind: str, entity: JsonObject) -> Message:
    body = canonical({name: entity[name] for name in _KEPT if name in entity})
    return state_message(STATE + kind, entity.get("id"), body)


def _entities(reply: Reply, kind: str) -> Iterator[JsonObject]:
    return _embedded(reply.object(), kind)


def _embedded(told: JsonObject, kind: str) -> Iterator[JsonObject]:
    """The entities that an answer holds; a list that is empty may be absent. What is none counts as an empty one."""
    inside: Any = told.get("_embedded")
    items = inside.get(f"{kind}s", []) if isinstance(inside, dict) else []
    if not isinstance(items, list):
        raise ApiFailed(f"an answer: {kind}s is not a list")
    yield from (item if isinstance(item, dict) else {} for item in items)


def _next(reply: Reply) -> str | None:
    """The id at which the next page begins. Nothing else is taken from the link."""
    links = reply.object().get("_links")
    link = links.get("next") if isinstance(links, dict) else None
    if link is None:
        return None
    href = link.get("href") if isinstance(link, dict) else None
    begin = parse_qs(urlsplit(href).query).get("from", [""])[0] if isinstance(href, str) else ""
    if not ID.fullmatch(begin):
        raise ApiFailed("a list: its next page has no beginning")
    return begin


def _made(entity: JsonObject) -> Instant | None:
    """When it was made; None where that cannot be read."""
    try:
        return from_rfc3339(entity.get("createdAt"))
    except ValueError:
        return None
