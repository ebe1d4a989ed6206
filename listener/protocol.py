"""uvicorn's HTTP protocol with what it lacks towards the open internet: bounds on everything before the application.

uvicorn 0.54 with httptools limits neither the size of a request's head nor the time it takes, goes on reading after
the answer for as long as something comes, and hands trailers to the application as if they were headers.
"""

import asyncio
from typing import Any

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

    def data_received(self, data: bytes) -> None:
        self._request_bytes += len(data)
        super().data_received(data)
        if self._request_bytes > (HEAD_MAX if self._in_head else self._request_max):
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._request_bytes = 0
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        before = self.cycle  # None at first, whatever its type says
        super().on_headers_complete()
        if before is None or before.response_complete:
            self._overtaken.clear()
        else:
            self._overtaken.append(before)

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
