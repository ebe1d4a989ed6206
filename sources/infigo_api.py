"""Infigo's API, asked for single orders: nothing published lists orders by what changed.

Paths and the ways to sign in are those of Infigo's demo app and of working code of others, and can be configured. An
order that is not there may be 404, `null`, nothing at all, or `Success: false`; what Infigo does for which is not
documented, so all are understood. No limit of calls is published.
"""

import base64
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.instants import DAY, SECOND, Instant
from sources.base import Event, Message, NotUnderstood
from sources.http_client import HttpClient, Reply
from sources.infigo import ID, READ, Infigo
from sources.parsing import JsonObject, canonical, clean, content_hash, json_object
from sources.polling import Answer, ApiFailed, Feed, Fetched, Poller, thinning_out

READ_FOR = 90 * DAY

log = logging.getLogger(__name__)


class _Read(NamedTuple):
    """What was told about one thing; None: that there is no such thing."""

    as_of: Instant
    body: bytes
    thing: JsonObject | None


class InfigoPoller(Poller):
    """The API of one storefront."""

    def __init__(self, source: Infigo, clock: Callable[[], Instant]) -> None:
        settings = source.settings
        assert settings.api_base
        assert settings.api_token
        self._source = source
        self._settings = settings
        self._clock = clock
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        token = settings.api_token.get_secret_value()
        if settings.auth_mode == "username":
            token = base64.b64encode(f"{token}:".encode()).decode()
        self._headers = {"authorization": f"Basic {token}", "accept": "application/json"}

    def feeds(self) -> Sequence[Feed]:
        """None: there is no list."""
        return ()

    async def ask(self, about: str, age: Instant) -> Answer:
        """The order, as "order:1001"; or the one that a job belongs to, as "job:s123"."""
        kind, _, thing = about.partition(":")
        if kind == "job":
            line = await self._read(self._settings.job_path, thing)
            order_id = clean(line.thing.get("OrderId")) if line.thing else None
            if order_id is None:
                return Answer(Fetched(line.as_of, []), thinning_out(age, DAY))  # it may not be there at once
            thing = order_id
        order = await self._read(self._settings.order_path, thing)
        if order.thing is None:
            return Answer(Fetched(order.as_of, []), thinning_out(age, DAY if kind == "job" else READ_FOR))
        # A job has done its part when it led to its order.
        again = None if kind == "job" else thinning_out(age, READ_FOR)
        return Answer(Fetched(order.as_of, [self._message(thing, order.as_of, order.body, order.thing)]), again)

    async def faults(self) -> list[str]:
        """Whether the token opens the API: seen by reading an order that does not exist."""
        try:
            reply = await self._get(self._settings.order_path, "0")
        except ApiFailed as failure:
            if not failure.permanent:
                raise
            return [f"{failure}: mend api_token, or try the other auth_mode"]
        if _is_page(reply):
            return [f"api_base does not lead to Infigo's API: it answers with a page (HTTP {reply.status})"]
        return []

    def _message(self, order_id: str, as_of: Instant, body: bytes, order: JsonObject) -> Message:
        """An order as it was then."""
        content = content_hash(canonical(order))[:16]
        try:
            self._source.interpret(Event(0, self._source.name, "", READ, body, as_of))
        except NotUnderstood:
            # Set aside once, however often it is read.
            return Message(f"order:{order_id}:{content}", READ, body, "malformed")
        # An order may go back to what it was before, so the time is part of what it is known by.
        return Message(f"order:{order_id}:{as_of // SECOND}:{content}", READ, body)

    async def _read(self, path: str, thing: str) -> _Read:
        if not ID.fullmatch(thing):
            return _Read(self._clock(), b"", None)  # no id of Infigo's: it would only change the address
        reply = await self._get(path, thing)
        if reply.status in (400, 404, 410):
            return _Read(reply.as_of, b"", None)
        if reply.status >= 400:
            raise ApiFailed(f"HTTP {reply.status}")
        if reply.body.removeprefix(b"\xef\xbb\xbf").strip() in (b"", b"null"):
            return _Read(reply.as_of, b"", None)
        body = reply.utf8
        try:
            told = json_object(body)
        except NotUnderstood as error:
            raise ApiFailed("a page came in place of JSON" if _is_page(reply) else str(error)) from None
        if told.get("Success") is False:
            log.warning("the storefront refuses to tell", extra={"source": self._source.name, "id": thing})
            return _Read(reply.as_of, b"", None)
        return _Read(reply.as_of, body, told)

    async def _get(self, path: str, thing: str) -> Reply:
        return await self._http.call("GET", "/" + path.replace("{id}", thing), self._headers)


def _is_page(reply: Reply) -> bool:
    return reply.body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
