"""PayPal's API: its list of events, single refunds and captures, the transaction search, and the list of our webhooks.

Times, fields and limits are those of PayPal's published specifications (paypal-rest-api-specifications): the search
takes 31 days at once, reaches back three years, and is complete after three hours at most. How far back the events
reach is not published; 30 days is how people report it.
"""

import base64
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ledger.facts import RefundFact
from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from sources.base import Delivery, Message, NotUnderstood
from sources.http_client import HttpClient, Reply
from sources.parsing import JsonObject, array_member, canonical, clean
from sources.paypal import CAPTURE, ID, REFUND, TRANSACTION
from sources.polling import (
    Answer,
    ApiFailed,
    Feed,
    Fetched,
    GatewayPoller,
    Listed,
    event_of,
    facts_in,
    listed_in,
    state_message,
    thinning_out,
)

if TYPE_CHECKING:
    from sources.paypal import PayPal

PAGE = 100
PAGES_MAX = 1000
WINDOW = 30 * DAY
REFUND_CODE = "T1107"
"""Of the search: a refund made by the merchant."""
PENDING_FOR = 90 * DAY
"""So long a refund under way is asked about: an eCheck clears within days, and PayPal names no end."""

_EVENTS = "/v1/notifications/webhooks-events"
_LINE_FIELDS = (
    "transaction_id",
    "paypal_reference_id",
    "transaction_event_code",
    "transaction_initiation_date",
    "transaction_updated_date",
    "transaction_amount",
    "transaction_status",
    "invoice_id",
    "custom_field",
)
"""What is kept of a line: nothing about the customer."""


class PayPalPoller(GatewayPoller):
    """The API of one app."""

    def __init__(self, source: "PayPal", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        assert settings.client_id
        assert settings.client_secret
        self._source = source
        self._clock = clock
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        credentials = f"{settings.client_id.get_secret_value()}:{settings.client_secret.get_secret_value()}"
        self._credentials = base64.b64encode(credentials.encode()).decode()
        self._token = ""
        self._token_until: Instant = 0

    def feeds(self) -> Sequence[Feed]:
        """The events; and the refunds, where the app may search for them."""
        events = Feed(
            "events", self._events, window=DAY, overlap=600 * SECOND, lag=60 * SECOND, horizon=30 * DAY
        )  # fmt: skip
        refunds = Feed("refunds", self._refunds, window=WINDOW, overlap=DAY, horizon=3 * 365 * DAY)
        return (events, refunds) if self._source.settings.transaction_search else (events,)

    async def ask(self, about: str, age: Instant) -> Answer:
        """The state of one thing, as "refund:1JU08902781691411" or "capture:…"."""
        kind, _, thing = about.partition(":")
        if not ID.fullmatch(thing):
            return Answer(Fetched(self._clock(), []), None)
        reply = await self._get(f"/v2/payments/{kind}s/{thing}")
        if reply.status == 404:
            return Answer(Fetched(reply.as_of, []), thinning_out(age, DAY))  # it may not be there at once
        state = _state(REFUND if kind == "refund" else CAPTURE, reply.object(), reply.utf8)
        pending = any(isinstance(f, RefundFact) and f.status == "pending" for f in self._facts(state, reply.as_of))
        return Answer(Fetched(reply.as_of, [state]), thinning_out(age, PENDING_FOR) if pending else None)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """The refunds of the transaction search."""
        if not self._source.settings.transaction_search:
            raise ApiFailed("PayPal lists refunds in its transaction search only: transaction_search", permanent=True)
        for start in range(since, until, WINDOW):
            async for fetched in self._refunds(start, min(start + WINDOW, until)):
                yield listed_in(facts_in(self._source, fetched), since, until)

    async def faults(self) -> list[str]:
        """What is wrong with the webhooks of the configured ids."""
        reply = await self._get("/v1/notifications/webhooks")
        items, _ = _list(reply, "webhooks")
        there = {clean(value.get("id")): value for _, value in items if isinstance(value, dict)}
        found = [self._faults_of(there[i]) for i in self._source.settings.webhook_ids if i in there]
        return min(found, key=len, default=["the app has no webhook with one of the webhook_ids: mend them"])

    def _faults_of(self, webhook: JsonObject) -> list[str]:
        faults, path = [], f"/webhooks/{self._source.name}"
        if not (clean(webhook.get("url")) or "").rstrip("/").endswith(path):
            faults.append(f"the address of the webhook does not end in {path}")
        told = webhook.get("event_types")
        types = {t.get("name") for t in told if isinstance(t, dict)} if isinstance(told, list) else set()
        missing = [name for name in self._source.used_events if name not in types]
        if missing and "*" not in types:
            faults.append(f"the webhook is not subscribed to {', '.join(missing)}")
        return faults

    # Lists -----------------------------------------------------------------------------------------------------------

    async def _events(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        """Each event as the webhook would have brought it."""
        asked = {"page_size": PAGE, "start_time": _moment(since), "end_time": _moment(until)}
        path = f"{_EVENTS}?{urlencode(asked)}"
        for _ in range(PAGES_MAX):
            reply = await self._get(path)
            items, others = _list(reply, "events")
            told = [m for raw, _ in items for m in self._source.messages(Delivery({}, raw, reply.as_of))]
            yield Fetched(reply.as_of, [m for m in told if m.verdict != "ignored"])
            following = _next(others.get("links"))
            if not items or following is None:
                return
            path = following
        raise ApiFailed(f"the list of events has no end after {PAGES_MAX} pages")

    async def _refunds(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        asked: dict[str, Any] = {"start_date": _moment(since), "end_date": _moment(until), "page_size": PAGE}
        asked |= {"transaction_type": REFUND_CODE, "fields": "transaction_info"}
        for page in range(1, PAGES_MAX + 1):
            reply = await self._get(f"/v1/reporting/transactions?{urlencode({**asked, 'page': page})}")
            items, others = _list(reply, "transaction_details")
            lines = [_line(value) for _, value in items]
            yield Fetched(reply.as_of, [_state(TRANSACTION, line, canonical(line)) for line in lines if line])
            pages = others.get("total_pages")
            if not items or not isinstance(pages, int) or page >= pages:
                return
        raise ApiFailed(f"the transaction search has no end after {PAGES_MAX} pages")

    # Requests --------------------------------------------------------------------------------------------------------

    async def _get(self, path: str) -> Reply:
        """A reply with status 200, or 404. Raises ApiFailed."""
        token = await self._access()
        try:
            reply = await self._http.call("GET", path, {"authorization": f"Bearer {token}"})
        except ApiFailed as failure:
            if failure.permanent:
                self._token_until = 0  # it may have been taken back: the next call gets another
            raise
        if reply.status not in (200, 404):
            raise ApiFailed(f"{urlsplit(path).path}: HTTP {reply.status}")
        return reply

    async def _access(self) -> str:
        """A token for the next call. Raises ApiFailed."""
        if self._clock() < self._token_until:
            return self._token
        headers = {
            "authorization": f"Basic {self._credentials}",
            "content-type": "application/x-www-form-urlencoded",
        }
        reply = await self._http.call("POST", "/v1/oauth2/token", headers, b"grant_type=client_credentials")
        told = reply.object() if reply.status == 200 else {}
        token, seconds = told.get("access_token"), told.get("expires_in")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,4096}", token, re.ASCII):
            raise ApiFailed(f"no access token: HTTP {reply.status}")
        lasting = min(seconds, 86_400) if isinstance(seconds, int) else 0
        self._token, self._token_until = token, reply.as_of + (lasting - 60) * SECOND
        return token

    def _facts(self, state: Message, as_of: Instant) -> list[Any]:
        try:
            return self._source.interpret(event_of(self._source, state, as_of))
        except NotUnderstood:
            return []  # it is journalled, and set aside with its reason when it is interpreted


def _state(kind: str, thing: JsonObject, body: bytes) -> Message:
    return state_message(kind, thing.get("id", thing.get("transaction_id")), body, thing)


def _line(value: object) -> JsonObject | None:
    """What is kept of a line of the search; None where it is no refund."""
    info = value.get("transaction_info") if isinstance(value, dict) else None
    if not isinstance(info, dict) or info.get("transaction_event_code") != REFUND_CODE:
        return None
    return {name: info[name] for name in _LINE_FIELDS if name in info}


def _list(reply: Reply, name: str) -> tuple[list[tuple[bytes, Any]], JsonObject]:
    """The items of a list, and what stands beside it."""
    if reply.status != 200:
        raise ApiFailed(f"the list of {name}: HTTP {reply.status}")
    try:
        return array_member(reply.utf8, name)
    except NotUnderstood as error:
        raise ApiFailed(f"the list of {name}: {error}") from None


def _next(links: object) -> str | None:
    """The path of the next page of events; None where there is none. Only the query is taken from the link."""
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "next":
            query = re.fullmatch(r"[^?#]*\?([\x21-\x7e]{1,2000})", str(link.get("href")))
            if not query:
                raise ApiFailed("the list of events: its next page has no address")
            return f"{_EVENTS}?{query[1]}"
    return None


def _moment(at: Instant) -> str:
    return to_rfc3339(at // SECOND * SECOND)
