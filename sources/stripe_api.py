"""Stripe's API, asked for what its webhooks did not bring.

Lists come newest first, at most 100 a page, and go on behind `starting_after`. The list of events reaches back 30 days
and is complete only after a while; each event is the very one that the webhook brings, by its id. Stripe may also fail
to make an event at all (docs.stripe.com/events): so refunds are listed as well, by when they were made, and asked about
one by one, because no list tells which of the old ones failed today. The `stripe` package asks; its transport is ours,
for it has no bound on the size of an answer and dropped `Retry-After` in 15.3.1.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.facts import Fact, RefundFact
from ledger.instants import DAY, SECOND, Instant
from sources.base import Delivery, Message, NotUnderstood
from sources.http_client import HttpClient
from sources.parsing import (
    JsonObject,
    array_member,
    as_object,
    body_key,
    canonical,
    clean,
    content_hash,
    identifier,
    json_object,
)
from sources.polling import Answer, ApiFailed, Feed, Fetched, GatewayPoller, Listed, event_of, listed_in, thinning_out
from sources.stripe import SNAPSHOTS, STATE, Stripe, asked_again

if TYPE_CHECKING:
    from stripe import StripeClient

PAGE = 100
PAGES_MAX = 10_000
CHARGEABLE_BACK = 180 * DAY
"""An inquiry may take its money so long after it was opened."""

_EXPANDED = ("charge", "payment_intent")
_ASKED: dict[str, tuple[str, ...]] = {
    "refund": _EXPANDED,
    "charge": ("payment_intent", "refunds"),
    "payment_intent": ("latest_charge",),
    "dispute": (),
}
"""What can be asked about, and what is wanted with it. The path is the plural."""

log = logging.getLogger(__name__)


class _Page(NamedTuple):
    as_of: Instant
    items: list[tuple[bytes, Any]]
    """Each as it stood there, and as its value."""


class StripePoller(GatewayPoller):
    """The API of one account, and of the connected accounts that are configured."""

    def __init__(self, source: Stripe, clock: Callable[[], Instant]) -> None:
        settings = source.settings
        assert settings.api_key
        self._source = source
        self._clock = clock
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        self._client = _client(settings.api_key.get_secret_value(), settings.api_base, self._http)
        self._accounts: tuple[str | None, ...] = (None, *settings.accounts)

    def feeds(self) -> Sequence[Feed]:
        """The events, and the refunds by when they were made; of each account."""
        return [feed for account in self._accounts for feed in self._feeds(account)]

    async def ask(self, about: str, age: Instant) -> Answer:
        """The state of one thing, as "refund:re_1" or "refund:re_1@acct_1"; `age` counts only while it is not found."""
        kind, _, rest = about.partition(":")
        thing, _, account = rest.partition("@")
        path = f"/v1/{kind}s/{thing}"
        as_of = self._clock()
        # What was polled from a connected account does not say from which: then each is asked in turn.
        for owner in (account,) if account else self._accounts:
            as_of, body = await self._get(path, {"expand": list(_ASKED[kind])}, owner)
            if body is not None:
                return self._answer(kind, as_of, body)
        return Answer(Fetched(as_of, []), thinning_out(age, DAY))  # it may not be there at once

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds, and chargebacks that took money, as the ledger reads them."""
        for account in self._accounts:
            async for fetched in self._refunds(account, since, until):
                yield self._told(fetched, since, until)
            async for page in self._pages("/v1/disputes", {}, account, (max(since - CHARGEABLE_BACK, 0), until)):
                states = [state for raw, value in page.items if (state := self._state("dispute", raw, value))]
                yield self._told(Fetched(page.as_of, states), since, until)

    async def faults(self) -> list[str]:
        """What is wrong with the endpoint whose address ends in the name of this source, or with the key."""
        path = f"/webhooks/{self._source.name}"
        try:
            pages = [page.items async for page in self._pages("/v1/webhook_endpoints", {}, None)]
        except ApiFailed as failure:
            if not failure.permanent:
                raise
            return [f"the API key may not read webhook endpoints ({failure}): give it that right"]
        endpoints = [value for items in pages for _, value in items if isinstance(value, dict)]
        ours = [e for e in endpoints if (clean(e.get("url")) or "").rstrip("/").endswith(path)]
        none = [f"no webhook endpoint of the account has an address that ends in {path}: add one"]
        return min(map(self._faults_of, ours), key=len, default=none)

    def _feeds(self, account: str | None) -> tuple[Feed, Feed]:
        of = f"@{account}" if account else ""
        return (
            Feed(
                f"events{of}",
                partial(self._events, account),
                window=DAY,
                overlap=600 * SECOND,
                lag=60 * SECOND,
                horizon=30 * DAY,
            ),
            Feed(f"refunds{of}", partial(self._refunds, account), window=7 * DAY, overlap=DAY, lag=60 * SECOND),
        )

    async def _events(self, account: str | None, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        """Each event as the webhook would have brought it."""
        async for page in self._pages("/v1/events", {"types": list(SNAPSHOTS)}, account, (since, until)):
            told = [m for raw, _ in page.items for m in self._source.messages(Delivery({}, raw, page.as_of))]
            yield Fetched(page.as_of, [m for m in told if m.verdict != "ignored"])

    async def _refunds(self, account: str | None, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        expanded = {"expand": [f"data.{name}" for name in _EXPANDED]}
        async for page in self._pages("/v1/refunds", expanded, account, (since, until)):
            states = [self._state("refund", raw, value) for raw, value in page.items]
            yield Fetched(page.as_of, [state for state in states if state])

    async def _pages(
        self,
        path: str,
        params: Mapping[str, Any],
        account: str | None,
        created: tuple[Instant, Instant] | None = None,
    ) -> AsyncIterator[_Page]:
        """The list page by page to its end; `created`: from the first moment to before the second."""
        asked = {**params, "limit": PAGE}
        if created:
            asked["created"] = {"gte": created[0] // SECOND, "lt": -(-created[1] // SECOND)}
        for _ in range(PAGES_MAX):
            as_of, body = await self._get(path, asked, account)
            if body is None:
                raise ApiFailed(f"there is no {path}")
            try:
                items, others = array_member(body, "data")
                yield _Page(as_of, items)
                if others.get("has_more") is not True:
                    return
                last = as_object(items[-1][1] if items else None, "the last item of a page")
                asked["starting_after"] = identifier(last.get("id"), "id of the last item of a page")
            except NotUnderstood as error:
                raise ApiFailed(f"{path}: {error}") from None
        raise ApiFailed(f"{path}: the list has no end after {PAGES_MAX} pages")

    async def _get(self, path: str, params: Mapping[str, Any], account: str | None) -> tuple[Instant, bytes | None]:
        """When it was asked, and the answer as it came; None where there is no such thing. Raises ApiFailed."""
        import stripe

        as_of = self._clock()
        of = {"stripe_account": account} if account else {}
        try:
            response = await self._client.raw_request_async("get", path, **params, **of)
        except stripe.StripeError as error:
            if isinstance(error, stripe.InvalidRequestError) and error.http_status == 404:
                return as_of, None
            # Its text may quote the whole answer.
            raise ApiFailed(f"{path}: {type(error).__name__}, HTTP {error.http_status}") from None
        return as_of, response.body.encode()

    def _state(self, kind: str, raw: bytes, value: object) -> Message | None:
        """The state of something; None where it is of the wrong mode."""
        event_type = STATE + kind
        try:
            thing = as_object(value, kind)
            parts = [thing, *(part for name in _EXPANDED if isinstance(part := thing.get(name), dict))]
            # A refund itself does not say its mode.
            if any(part.get("livemode") is (not self._source.settings.livemode) for part in parts):
                return None
            names = identifier(thing.get("id"), "id"), identifier(thing.get("status"), "status")
            key = identifier(":".join((kind, *names, content_hash(canonical(thing))[:16])), "key")
        except NotUnderstood:
            return Message(body_key(raw), event_type, raw, "malformed")
        return Message(key, event_type, raw)

    def _answer(self, kind: str, as_of: Instant, body: bytes) -> Answer:
        try:
            state = self._state(kind, body, json_object(body))
        except NotUnderstood as error:
            raise ApiFailed(f"the answer about a {kind}: {error}", alone=True) from None
        if state is None:
            return Answer(Fetched(as_of, []), None)
        told = self._facts(state, as_of) if kind == "refund" else []
        pauses = [asked_again(fact, as_of) for fact in told if isinstance(fact, RefundFact)]
        return Answer(Fetched(as_of, [state]), pauses[0] if pauses else None)

    def _facts(self, state: Message, as_of: Instant) -> list[Fact]:
        try:
            return self._source.interpret(event_of(self._source, state, as_of))
        except NotUnderstood as error:
            log.warning("an answer is not understood", extra={"source": self._source.name, "reason": str(error)})
            return []

    def _told(self, fetched: Fetched, since: Instant, until: Instant) -> list[Listed]:
        facts = [fact for state in fetched.messages for fact in self._facts(state, fetched.as_of)]
        return listed_in(facts, since, until)

    def _faults_of(self, endpoint: JsonObject) -> list[str]:
        faults = []
        if endpoint.get("livemode") is (not self._source.settings.livemode):
            faults.append("the API key is of the other mode than this source: mend api_key or livemode")
        if endpoint.get("status") != "enabled":
            faults.append("the webhook endpoint is not enabled, so nothing is sent: enable it")
        told = endpoint.get("enabled_events")
        types = {t for t in told if isinstance(t, str)} if isinstance(told, list) else set()
        missing = [name for name in SNAPSHOTS if name not in types]
        if missing and "*" not in types:
            faults.append(f"the webhook endpoint is not subscribed to {', '.join(missing)}")
        return faults


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _client(key: str, base: str, http: HttpClient) -> "StripeClient":
    import stripe

    # It would keep a file in the home directory, and tell Stripe of the machine.
    stripe.enable_telemetry = False

    class Transport(stripe.HTTPClient):
        name = "httpx"

        async def request_async(
            self,
            method: str,
            url: str,
            headers: Mapping[str, str],
            post_data: object = None,  # noqa: ARG002 - nothing is ever posted
        ) -> tuple[bytes, int, Mapping[str, str]]:
            reply = await http.call(method.upper(), url.removeprefix(base), headers)
            if not _is_text(reply.body):
                raise ApiFailed("the answer is not UTF-8")  # the package would fall over it
            return reply.body, reply.status, {}

    return stripe.StripeClient(key, base_addresses={"api": base}, http_client=Transport(), max_network_retries=0)
