"""Square's API: its lists of refunds and disputes, single payments, and the webhook subscriptions.

Paths, filters and limits are those of Square's published specification (connect-api-specification): lists are paged by
a cursor, at most 100 a page; refunds can be listed by when they last changed, so that a late failure is found.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from sources.base import Message, NotUnderstood
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
from sources.square import DISPUTE_STATES, ID, STATE

if TYPE_CHECKING:
    from sources.square import Square

PAGE = 100
PAGES_MAX = 10_000


class SquarePoller(GatewayPoller):
    """The API of one seller."""

    def __init__(self, source: "Square", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        assert settings.access_token
        self._source = source
        self._clock = clock
        self._headers = {"authorization": f"Bearer {settings.access_token.get_secret_value()}"}
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))

    def feeds(self) -> Sequence[Feed]:
        """The refunds by when they last changed; and the disputes, which is one list whatever the time."""
        return (
            Feed("refunds", self._changed, window=7 * DAY, overlap=600 * SECOND, lag=60 * SECOND, horizon=365 * DAY),
            Feed("disputes", self._disputes, window=36_500 * DAY),
        )

    async def ask(self, about: str, age: Instant) -> Answer:
        """The state of one payment, as "payment:KkAkhdMsgzn59SM8A89WgKwekxLZY"."""
        kind, _, thing = about.partition(":")
        if not ID.fullmatch(thing):
            return Answer(Fetched(self._clock(), []), None)
        reply = await self._get(f"/v2/{kind}s/{thing}", {})
        if reply.status == 404:
            return Answer(Fetched(reply.as_of, []), thinning_out(age, DAY))  # it may not be there at once
        try:
            value = as_object(reply.object().get(kind), kind)
        except NotUnderstood as error:
            raise ApiFailed(f"an answer: {error}") from None
        return Answer(Fetched(reply.as_of, [_state(kind, value)]), None)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds, and disputes that took money, as the ledger reads them."""
        asked = {"begin_time": to_rfc3339(since), "end_time": to_rfc3339(until), "limit": PAGE}
        async for fetched in self._pages("/v2/refunds", asked, "refunds", "refund"):
            yield listed_in(facts_in(self._source, fetched), since, until)
        async for fetched in self._disputes(since, until):
            yield listed_in(facts_in(self._source, fetched), since, until)

    async def faults(self) -> list[str]:
        """What is wrong with the webhook subscription of the registered address, or with the token."""
        try:
            reply = await self._get("/v2/webhooks/subscriptions", {})
        except ApiFailed as failure:
            if not failure.permanent:
                raise
            return [f"the access token may not read webhook subscriptions ({failure}): take the application's own"]
        if reply.status != 200:
            raise ApiFailed(f"the list of webhook subscriptions: HTTP {reply.status}")
        address = self._source.settings.notification_url
        there = [s for s in _listed(reply.object(), "subscriptions") if isinstance(s, dict)]
        ours = [self._faults_of(s) for s in there if s.get("notification_url") == address]
        return min(ours, key=len, default=["no webhook subscription has the notification_url: mend one of the two"])

    def _faults_of(self, subscription: JsonObject) -> list[str]:
        faults = []
        if subscription.get("enabled") is not True:
            faults.append("the webhook subscription is not enabled, so nothing is sent: enable it")
        told = subscription.get("event_types")
        types = {t for t in told if isinstance(t, str)} if isinstance(told, list) else set()
        # The deprecated twin of dispute.state.updated is offered to old subscriptions only.
        wanted = [name for name in self._source.used_events if name != "dispute.state.changed"]
        if missing := [name for name in wanted if name not in types]:
            faults.append(f"the webhook subscription lacks {', '.join(missing)}")
        return faults

    def _changed(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        asked = {"updated_at_begin_time": to_rfc3339(since), "updated_at_end_time": to_rfc3339(until)}
        return self._pages("/v2/refunds", {**asked, "sort_field": "UPDATED_AT", "limit": PAGE}, "refunds", "refund")

    def _disputes(self, _since: Instant, _until: Instant) -> AsyncIterator[Fetched]:
        # Without states only open ones are listed.
        return self._pages("/v2/disputes", {"states": ",".join(DISPUTE_STATES)}, "disputes", "dispute")

    async def _pages(self, path: str, asked: Mapping[str, Any], name: str, kind: str) -> AsyncIterator[Fetched]:
        cursor: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            reply = await self._get(path, {**asked, **cursor})
            if reply.status != 200:
                raise ApiFailed(f"{path}: HTTP {reply.status}")
            told = reply.object()
            yield Fetched(reply.as_of, [_state(kind, value) for value in _listed(told, name)])
            following = told.get("cursor")
            if not isinstance(following, str) or not following:
                return
            if len(following) > 4096 or not following.isascii() or following == cursor.get("cursor"):
                raise ApiFailed(f"{path}: the cursor leads nowhere")
            cursor = {"cursor": following}
        raise ApiFailed(f"{path}: the list has no end after {PAGES_MAX} pages")

    async def _get(self, path: str, asked: Mapping[str, Any]) -> Reply:
        """A reply with status 200, or 404. Raises ApiFailed."""
        reply = await self._http.call("GET", f"{path}?{urlencode(asked)}" if asked else path, self._headers)
        if reply.status not in (200, 404):
            raise ApiFailed(f"{path}: HTTP {reply.status}")
        return reply


def _state(kind: str, value: object) -> Message:
    thing = value if isinstance(value, dict) else {}
    return state_message(STATE + kind, thing.get("id", thing.get("dispute_id")), canonical(value))


def _listed(told: JsonObject, name: str) -> list[Any]:
    """The items of a list. One that is empty is absent."""
    items = told.get(name) or []
    if not isinstance(items, list):
        raise ApiFailed(f"{name} is not a list")
    return items
