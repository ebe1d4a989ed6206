"""Every answer of the listener, made once."""

import json
from http import HTTPStatus
from typing import NamedTuple

from starlette.types import Message


class Reply(NamedTuple):
    """A whole HTTP answer, as the two messages that ASGI wants."""

    start: Message
    body: Message


def _reply(status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    return Reply(
        {"type": "http.response.start", "status": status, "headers": encoded},
        {"type": "http.response.body", "body": body},
    )


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Reply:
    """An error as `application/problem+json` (RFC 9457)."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return _reply(status, "application/problem+json", json.dumps(content).encode(), headers)


def ok(content_type: str, body: bytes) -> Reply:
    """200 with any content."""
    return _reply(200, content_type, body)


def done(status: str) -> Reply:
    """200 `{"status":…}`."""
    return ok("application/json", json.dumps({"status": status}, separators=(",", ":")).encode())


WELL = done("ok")
UNAUTHENTICATED = problem(401, "The sender could not be authenticated.")
NOT_FOUND = problem(404, "There is nothing at this address.")
WEBHOOKS_ARE_POSTED = problem(405, "Webhooks are sent with POST.", {"allow": "POST"})
PAGES_ARE_READ = problem(405, "This address can only be read.", {"allow": "GET, HEAD"})
TOO_SLOW = problem(408, "The body did not arrive in time.", {"connection": "close"})
# The rest of the body is taken: many senders look for an answer only when they have sent everything.
TOO_LARGE = problem(413, "The body is too large.")
UNAVAILABLE = problem(503, "It cannot be stored now. Please send it again.", {"retry-after": "5"})
NOT_READY = problem(503, "Storage cannot be written.", {"retry-after": "5"})


def _raw(reply: Reply) -> bytes:
    status = HTTPStatus(reply.start["status"])
    head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    head += [name + b": " + value for name, value in reply.start["headers"]]
    return b"\r\n".join([*head, b"", reply.body["body"]])


BROKEN = _raw(problem(400, "This is not HTTP as it should be.", {"connection": "close"}))
"""For what never becomes a request: the bytes as they go out."""
