"""What holds for every answer, whichever endpoint gives it, and for those that none gives."""

import logging

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class Guard:
    """Adds the headers, counts the answers, and keeps a fault from reaching the server with what it quotes."""

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {name for name, _ in message["headers"]}
                missing = [header for header in _HEADERS if header[0] not in told]  # a page has some of its own
                message["headers"] = [*message["headers"], *missing]
                self._requests.labels(str(message["status"])).inc()
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception:
            # It has been answered. Where the answer had begun, the server sees it unfinished and closes the connection.
            log.exception("a request failed", extra={"method": scope["method"]})
