"""uvicorn's HTTP protocol with what it lacks towards the open internet: bounds on everything before the application.

uvicorn 0.54 with httptools limits neither the size of a request's head nor the time it takes, goes on reading after
the answer for as long as something comes, hands trailers to the application as if they were headers, reads no body
where another protocol is offered, and answers nobody who closes its side of the connection.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from listener.replies import BROKEN

HEAD_MAX = 64 * 1024
"""Bytes of a request's head, counted in what one read brings (at most 256 KiB)."""

IDLE_SECONDS = 75
"""A connection on which no head was completed for this long, and that nothing is being done for, is closed."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `request_max` bounds everything that is read for one request, whatever it is made of."""

    def __init__(self, *args: Any, request_max: int, **kwargs: Any) -> None:  # noqa: ANN401 (uvicorn's own)
        super().__init__(*args, **kwargs)
        self._request_max = request_max
        self._request_bytes = 0
        self._in_head = False
        self._heads = 0
        self._overtaken: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch(-1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watching.cancel()
        super().connection_lost(exc)
        # uvicorn tells only the newest request; the others would write to a closed connection, and log it as an error.
        for cycle in self._overtaken:
            cycle.disconnected = True
            cycle.message_event.set()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has sent everything may close its side, and waits for the answer: socat and ncat do. uvicorn hangs up."""
        cycle = self.cycle
        waited_for = cycle is not None and not cycle.more_body and not cycle.response_complete
        if waited_for:
            cycle.keep_alive = False
        return waited_for

    def data_received(self, data: bytes) -> None:
        self._request_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._request_bytes > (HEAD_MAX if self._in_head else self._request_max):
            self.send_400_response("")

    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    rest = b""
                except httptools.HttpParserUpgrade as offered:
                    rest = memoryview(rest)[offered.args[0] :]
                    self._decline_upgrade()
        except httptools.HttpParserError:
            self.send_400_response("")

    def _decline_upgrade(self) -> None:
        """Go on in HTTP/1.1, as RFC 9110 (7.8) allows: curl and Java offer h2c with any request over plain HTTP.

        httptools ends such a request with its head, as if no body could follow. So the head is read again without it.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("it is nothing but an upgrade")
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def on_message_begin(self) -> None:
        self._request_bytes = 0
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._heads += 1
        before = self.cycle  # None at first, whatever its type says
        super().on_headers_complete()
        if before is None or before.response_complete:
            self._overtaken.clear()
        else:
            self._overtaken.append(before)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's text; ours says it)
        """Broken HTTP, or more of it than anybody needs."""
        if not self.transport.is_closing():
            self.transport.write(BROKEN)
            self.transport.close()

    def _watch(self, heads_before: int) -> None:
        """Look again and again, at the price of one timer for each connection and none for each request."""
        working = self.cycle is not None and not self.cycle.response_complete
        if self._heads == heads_before and not working:
            self.transport.close()
        self._watching = self.loop.call_later(IDLE_SECONDS, self._watch, self._heads)
