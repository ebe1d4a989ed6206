"""How a fake is reached, and how it misbehaves: the next requests meet the faults that a test has put in line."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Fault = Callable[[Scope, Receive, Send], Awaitable[None]]


class Faults:
    """An application in front of the fake's own. One fault answers one request; None lets one through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.line: deque[Fault | None] = deque()
        self.requests: list[str] = []
        """Every request that came, as "POST /path"."""

    def then(self, *faults: Fault | None) -> None:
        """The next requests meet these."""
        self.line.extend(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.requests.append(f"{scope['method']} {scope['path']}")
        fault = self.line.popleft() if self.line else None
        await (fault or self._app)(scope, receive, send)


def answer(status: int, body: bytes | str = b"", **headers: str) -> Fault:
    """This answer, as `answer(429, retry_after="7")`."""
    return Response(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def html() -> Fault:
    """A page where JSON should be, with the status of a success."""
    return Response("<html><body>Down for maintenance</body></html>", 200, media_type="text/html")


async def cut(_scope: Scope, _receive: Receive, send: Send) -> None:
    """A connection that ends in the middle of the answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b'{"half', "more_body": True})


async def silence(_scope: Scope, receive: Receive, _send: Send) -> None:
    """No answer, for as long as the other side waits."""
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The application on a port of its own, in a thread of its own: its address, without a slash at its end."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut is meant to be
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, date_header=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
