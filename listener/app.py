"""The front door: raw bytes in, verified, on disk, and only then a 2xx. Nothing is interpreted here.

A plain ASGI application without a framework: every answer, also to a broken request, is one of a few that are made
once, and a delivery passes nothing that it does not need.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import Receive, Scope, Send

from ledger.instants import Instant
from listener.metrics import Metrics, Outcome
from listener.replies import (
    NOT_FOUND,
    NOT_READY,
    PAGES_ARE_READ,
    TOO_LARGE,
    TOO_SLOW,
    UNAUTHENTICATED,
    UNAVAILABLE,
    WEBHOOKS_ARE_POSTED,
    WELL,
    Reply,
    done,
    ok,
)
from sources.base import Delivery, NotReady, Source
from sources.registry import Configuration
from storage.database import Database, NewEvent, StorageUnavailable
from storage.journal import Journal
from storage.readiness import Readiness

log = logging.getLogger(__name__)

HELD_MAX = 64 * 1024 * 1024
"""Bytes of bodies in memory at once, being read or waiting for their commit. Beyond it the waiting line is full."""

REST_SECONDS = 4
"""How long the rest of a body that was refused is taken, so that its sender comes to read the answer."""

REPORT_SECONDS = 10
"""The same failure is logged once in this time; the metric counts every one."""


class Refused(Exception):  # noqa: N818 (an answer, not an error)
    """A body that is not taken: the answer, if anybody is left to hear it, and what it counts as, if it counts.

    `rest`: whether more of it comes, that its sender may send before it looks for the answer.
    """

    def __init__(self, reply: Reply | None, outcome: Outcome | None = None, *, rest: bool = False) -> None:
        self.reply = reply
        self.outcome: Outcome | None = outcome
        self.rest = rest


class Endpoint:
    """The webhooks of one source: what every delivery needs, made once."""

    def __init__(self, source: Source[Any], metrics: Metrics) -> None:
        self.source = source
        self.counters = metrics.webhooks[source.name]
        self.seconds = metrics.seconds[source.name]
        text = source.accepted_reply
        wanted = None if text is None else ok("text/plain", text)
        self.replies: dict[Outcome, Reply] = {
            "accepted": wanted or done("accepted"),
            "malformed": wanted or done("accepted"),
            "duplicate": wanted or done("duplicate"),
            "ignored": wanted or done("ignored"),
            "unauthenticated": UNAUTHENTICATED,
        }


def _answer_to_check(source: Source[Any], scope: Scope) -> Reply:
    """What a request gets that is no POST: some senders check an address with a GET before they use it."""
    text = source.answer_to_check(scope["query_string"]) if scope["method"] == "GET" else None
    return WEBHOOKS_ARE_POSTED if text is None else ok("text/plain", text)


async def _drop(receive: Receive) -> None:
    """Take what is left of a body. To close the connection in the middle of it would take the answer away as well."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_SECONDS):
            while (await receive()).get("more_body"):
                pass


def _now() -> Instant:
    return time.time_ns() // 1000


class Listener:
    """The application, over an open database and its journal. `clock` tells the time of arrival."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        journal: Journal,
        clock: Callable[[], Instant] = _now,
    ) -> None:
        self._body_max = configuration.settings.max_body
        self._body_seconds = configuration.settings.body_timeout.total_seconds()
        self._journal = journal
        self._clock = clock
        self._held = 0
        self._readiness = Readiness(database)
        self._reported: dict[str, float] = {}
        self._metrics = Metrics(configuration.sources)
        self._endpoints = {f"/webhooks/{s.name}": Endpoint(s, self._metrics) for s in configuration.sources.values()}
        self._pages: dict[str, Callable[[], Awaitable[Reply]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._exposition,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        began = time.perf_counter()
        endpoint = self._endpoints.get(scope["path"])
        outcome: Outcome | None = None
        reply: Reply | None
        rest = False
        try:
            if endpoint is None:
                reply = await self._page(scope)
            elif scope["method"] != "POST":
                reply = _answer_to_check(endpoint.source, scope)
            else:
                outcome = await self._take(endpoint.source, scope, receive)
                reply = endpoint.replies[outcome]
        except Refused as refused:
            outcome, reply, rest = refused.outcome, refused.reply, refused.rest
        except asyncio.CancelledError:
            # The server stops and waits no longer. Whether it was stored is open, so the sender has to ask again.
            outcome, reply = "unavailable", UNAVAILABLE
        except (StorageUnavailable, NotReady) as failure:
            self._report(str(failure))
            outcome, reply = "unavailable", UNAVAILABLE
        except Exception as failure:  # noqa: BLE001 (whatever it is, the sender has to send it again)
            # Type and place only: the text of an exception may quote what was sent.
            *_, (frame, line) = walk_tb(failure.__traceback__)
            self._report(f"{type(failure).__name__} at {Path(frame.f_code.co_filename).name}:{line}")
            outcome, reply = "unavailable", UNAVAILABLE
        if endpoint is not None and outcome is not None:
            endpoint.counters[outcome].inc()
            endpoint.seconds.observe(time.perf_counter() - began)
        if reply is not None:
            await send(reply.start)
            if rest:
                await send({**reply.body, "more_body": True})
                await _drop(receive)
            await send({"type": "http.response.body"} if rest else reply.body)

    async def _take(self, source: Source[Any], scope: Scope, receive: Receive) -> Outcome:
        # The first of several headers of one name counts.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        body = bytearray()
        try:
            await self._read(headers, receive, body)
            return await self._store(source, Delivery(headers, bytes(body), self._clock()))
        finally:
            self._held -= len(body)

    async def _read(self, headers: dict[str, str], receive: Receive, body: bytearray) -> None:
        if int(headers.get("content-length", 0)) > self._body_max:
            raise Refused(TOO_LARGE, "too_large", rest=True)
        try:
            async with asyncio.timeout(self._body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(None)
                    chunk = message["body"]
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self._body_max:
                        raise Refused(TOO_LARGE, "too_large", rest=message["more_body"])
                    if self._held > HELD_MAX:
                        raise Refused(UNAVAILABLE, "unavailable")
                    more = message["more_body"]
        except TimeoutError:
            raise Refused(TOO_SLOW) from None

    async def _store(self, source: Source[Any], delivery: Delivery) -> Outcome:
        await source.prepare(delivery)
        if not source.authentic(delivery):
            return "unauthenticated"
        used = [message for message in source.messages(delivery) if message.verdict != "ignored"]
        if not used:
            return "ignored"
        kept = {name: delivery.headers[name] for name in source.kept_headers if name in delivery.headers}
        arrived = await self._journal.append(
            [NewEvent(source.name, m.key, m.type, "webhook", delivery.arrived_at, kept, m.body) for m in used]
        )
        if not any(arrived):
            return "duplicate"
        malformed = any(new and m.verdict == "malformed" for new, m in zip(arrived, used, strict=True))
        return "malformed" if malformed else "accepted"

    async def _page(self, scope: Scope) -> Reply:
        page = self._pages.get(scope["path"])
        if page is None:
            return NOT_FOUND
        return await page() if scope["method"] in ("GET", "HEAD") else PAGES_ARE_READ

    async def _healthz(self) -> Reply:
        return WELL

    async def _readyz(self) -> Reply:
        return WELL if await self._readiness.is_ready() else NOT_READY

    async def _exposition(self) -> Reply:
        return ok(CONTENT_TYPE_LATEST, self._metrics.text())

    def _report(self, cause: str) -> None:
        now = time.monotonic()
        if now >= self._reported.get(cause, 0):
            self._reported[cause] = now + REPORT_SECONDS
            log.error("answered 503", extra={"cause": cause})
