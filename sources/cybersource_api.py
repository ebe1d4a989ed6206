"""CyberSource's Transaction Search API: what was requested in a stretch of time, and the details of one request.

Requests are signed as its own client does it: HMAC-SHA256 under the decoded shared secret over host, date, target,
digest of the body and merchant id. A search is complete after some minutes, and reaches back about a year.
"""

import base64
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ledger.facts import Fact, RefundFact
from ledger.instants import DAY, SECOND, Instant
from sources.base import Message, NotUnderstood
from sources.cybersource import DETAILS, ID, ROW, WANTED, Transaction
from sources.http_client import HttpClient, Reply
from sources.parsing import JsonObject, as_object, body_key, canonical
from sources.polling import (
    ABSENT,
    HOUR,
    Answer,
    ApiFailed,
    Feed,
    Fetched,
    GatewayPoller,
    Listed,
    facts_in,
    listed_in,
    questions_in,
    state_message,
    thinning_out,
)

if TYPE_CHECKING:
    from sources.cybersource import CyberSource

PAGE = 1000
PAGES_MAX = 1000
ASK_FOR = 60 * DAY
"""So long a refund is asked about: a card's is sent within days, and a bank can send a debit back for two months."""
KNOWN_MAX = 50_000
OVERLAP = 6 * HOUR
"""So long details that are missing are looked for again."""
VOIDED_WITHIN = 2 * DAY
"""So long after it was made a refund may still be voided: it is transmitted once a day."""

_KEPT = (
    "id",
    "rootId",
    "submitTimeUTC",
    "submitTimeUtc",
    "applicationInformation",
    "clientReferenceInformation",
    "_links",
)
"""What is kept of the details, with the amount: nothing about the customer."""


class CyberSourcePoller(GatewayPoller):
    """The API of one merchant."""

    def __init__(self, source: "CyberSource", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        self._source = source
        self._clock = clock
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        self._host = urlsplit(settings.api_base).netloc
        self._secret = base64.b64decode(settings.shared_secret.get_secret_value())
        self._known: set[str] = set()
        """The requests whose details were fetched: they stand in the search again and again."""

    def feeds(self) -> Sequence[Feed]:
        """All requests by when they were made; a later step is a request of its own."""
        return (
            Feed("transactions", self._new, window=DAY, overlap=OVERLAP, lag=900 * SECOND, horizon=360 * DAY),
        )  # fmt: skip

    async def ask(self, about: str, age: Instant) -> Answer:
        """The details of one request, as "refund:6749663435826677303955" or "payment:…"."""
        own = about.partition(":")[2]
        if not ID.fullmatch(own):
            return Answer(Fetched(self._clock(), []), None)
        reply = await self._call("GET", f"/tss/v2/transactions/{own}")
        if reply.status in ABSENT:
            return Answer(Fetched(reply.as_of, []), thinning_out(age, DAY))  # it may not be there at once
        details = reply.object()
        message = _state(details)
        again = [question.partition(":")[0] for question in questions_in(self._source, message, reply.as_of)]
        pause = thinning_out(age, ASK_FOR) if about.startswith("refund:") and "refund" in again else None
        return Answer(Fetched(reply.as_of, [message]), pause)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds and voids, as the ledger reads them: a refund that is voided is listed twice, the second time so."""
        told: defaultdict[str, list[Fact]] = defaultdict(list)
        for start in range(since - VOIDED_WITHIN, until, DAY):
            async for fetched in self._fetch(start, min(start + DAY, until), set()):
                facts = facts_in(self._source, fetched)
                refunds = [fact for fact in facts if isinstance(fact, RefundFact)]
                earlier = [fact for refund in refunds for fact in told[refund.id]]
                for refund in refunds:
                    told[refund.id].append(refund)
                yield listed_in([*earlier, *facts], since, until)

    async def faults(self) -> list[str]:
        """Nothing but what a call with wrong keys raises: no webhook is used."""
        now = self._clock()
        await self._search(now - SECOND, now, 0)
        return []

    # Searches --------------------------------------------------------------------------------------------------------

    def _new(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        return self._fetch(since, until, self._known)

    async def _fetch(self, since: Instant, until: Instant, known: set[str]) -> AsyncIterator[Fetched]:
        """The details of what gives money back, page by page, but for what is known."""
        seen = 0
        for _ in range(PAGES_MAX):
            reply = await self._search(since, until, seen)
            told = reply.object()
            rows = _rows(told)
            new = [row for row in rows if _id(row) not in known]
            found = [(_id(row), message) for row in new if (message := await self._look_into(row, reply.as_of))]
            yield Fetched(reply.as_of, [message for _, message in found])
            known.update(own for own, _ in found if own)
            seen, total = seen + len(rows), told.get("totalCount")
            if not isinstance(total, int):
                raise ApiFailed("a search: it does not say how much it found")
            if seen >= total:
                return
            if not rows:
                raise ApiFailed("a search: not everything that was found is told")
        raise ApiFailed(f"the search has no end after {PAGES_MAX} pages")

    async def _search(self, since: Instant, until: Instant, offset: int) -> Reply:
        """Both ends included, in milliseconds, which the search counts in."""
        asked = {
            "save": False,
            "name": "refunds",
            "query": f"submitTimeUtc:[{since // 1000} TO {until // 1000}]",
            "offset": offset,
            "limit": PAGE,
            "sort": "submitTimeUtc:asc,id:asc",
        }
        reply = await self._call("POST", "/tss/v2/searches", json.dumps(asked).encode())
        if reply.status not in (200, 201):
            raise ApiFailed(f"/tss/v2/searches: HTTP {reply.status}")
        return reply

    async def _look_into(self, row: object, as_of: Instant) -> Message | None:
        """The details of a row that gives money back; None where it does not, or they may still come.

        One row never stops the others: where it cannot be read, or its details do not come, it is set aside.
        """
        try:
            summary = Transaction(as_object(row, "a row"))
        except (NotUnderstood, ValueError):
            return _set_aside(row)
        if WANTED.isdisjoint(summary.applications):
            return None
        if not ID.fullmatch(summary.id):
            return _set_aside(row)
        reply = await self._call("GET", f"/tss/v2/transactions/{summary.id}")
        if reply.status not in ABSENT:
            return _state(reply.object())
        return None if as_of - summary.at < OVERLAP else _set_aside(row)  # the next walk finds it once more

    # Requests --------------------------------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: bytes | None = None) -> Reply:
        reply = await self._http.call(method, path, self._signed(method, path, body), body)
        if reply.status not in (200, 201, *ABSENT):
            raise ApiFailed(f"{path}: HTTP {reply.status}")
        return reply

    def _signed(self, method: str, path: str, body: bytes | None) -> dict[str, str]:
        """The headers of a request, with the signature of the last of them."""
        merchant = self._source.settings.merchant_id
        signed = {"host": self._host, "date": formatdate(self._clock() / SECOND, usegmt=True)}
        signed["request-target"] = f"{method.lower()} {path}"
        if body is not None:
            signed["digest"] = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
        signed["v-c-merchant-id"] = merchant
        text = "\n".join(f"{name}: {value}" for name, value in signed.items())
        mac = base64.b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()
        del signed["request-target"]
        names = " ".join(line.partition(":")[0] for line in text.split("\n"))
        return {
            **signed,
            "content-type": "application/json",
            "signature": f'keyid="{self._source.settings.key_id}", algorithm="HmacSHA256", headers="{names}", '
            f'signature="{mac}"',
        }


def _id(row: object) -> str:
    """The id of a row; empty where it has none."""
    own = str(row.get("id")) if isinstance(row, dict) else ""
    return own if ID.fullmatch(own) else ""


def _kept(told: JsonObject) -> bytes:
    kept: dict[str, Any] = {name: told[name] for name in _KEPT if name in told}
    order = told.get("orderInformation")
    if isinstance(order, dict):
        kept["orderInformation"] = {"amountDetails": order.get("amountDetails")}
    return canonical(kept)


def _set_aside(row: object) -> Message:
    """A row of the search, once for each request."""
    body = _kept(row) if isinstance(row, dict) else b"{}"
    own = _id(row)
    return Message(f"row:{own}" if own else body_key(body), ROW, body, "malformed")


def _state(details: JsonObject) -> Message:
    return state_message(DETAILS, details.get("id"), _kept(details))


def _rows(told: JsonObject) -> list[Any]:
    embedded: Any = told.get("_embedded")
    rows = embedded.get("transactionSummaries", []) if isinstance(embedded, dict) else []
    if not isinstance(rows, list):
        raise ApiFailed("a search: what it found is not a list")
    return rows
