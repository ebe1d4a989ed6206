"""Who may do what: bearer tokens, each with a name for the audit trail and a role."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Literal, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from config.settings import ApiToken

Role: TypeAlias = Literal["viewer", "operator"]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Access:
    """Knows the tokens by their digests only."""

    def __init__(self, tokens: Mapping[str, ApiToken]) -> None:
        self._known = [(_digest(t.token.get_secret_value()), name, t.role) for name, t in tokens.items()]

    def only(self, role: Role, endpoint: Endpoint) -> Endpoint:
        """The endpoint, open to tokens of this role; an operator may all that a viewer may."""

        async def guarded(request: Request) -> Response:
            name, has = self._bearer(request)
            if role not in ("viewer", has):
                raise HTTPException(403, "This takes a token with the role operator.")
            request.state.actor = name
            return await endpoint(request)

        return guarded

    def _bearer(self, request: Request) -> tuple[str, Role]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest = _digest(token.strip()) if scheme.lower() == "bearer" else b""
        found = None
        # All are compared: how long it takes tells nothing about any of them.
        for known, name, role in self._known:
            if hmac.compare_digest(known, digest):
                found = name, role
        if found is None:
            challenge = 'Bearer error="invalid_token"' if digest else "Bearer"
            raise HTTPException(401, "This takes a valid bearer token.", {"www-authenticate": challenge})
        return found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
