"""Who may do what: tokens, each with a name for the audit trail and a role."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from config.settings import ApiToken

Role: TypeAlias = Literal["viewer", "operator"]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Person:
    """Whoever has a token."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    """Of the token."""

    def may(self, role: Role) -> bool:
        """Whether they may do what this role may; an operator may all that a viewer may."""
        return role in ("viewer", self.role)


class Access:
    """Knows the tokens by their digests only."""

    def __init__(self, tokens: Mapping[str, ApiToken]) -> None:
        self.people = {name: Person(name, t.role, t.digest) for name, t in tokens.items()}

    def only(self, role: Role, endpoint: Endpoint) -> Endpoint:
        """The endpoint, open to bearer tokens of this role."""

        async def guarded(request: Request) -> Response:
            request.state.actor = permitted(self._bearer(request), role).name
            return await endpoint(request)

        return guarded

    def person(self, token: str) -> Person | None:
        """Whose token this is."""
        digest = sha256(token.encode("utf-8", "replace")).digest()
        found = None
        # All are compared: how long it takes tells nothing about any of them.
        for person in self.people.values():
            if hmac.compare_digest(person.digest, digest):
                found = person
        return found

    def _bearer(self, request: Request) -> Person:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = scheme.lower() == "bearer"
        person = self.person(token.strip()) if given else None
        if person is None:
            challenge = 'Bearer error="invalid_token"' if given else "Bearer"
            raise HTTPException(401, "This takes a valid bearer token.", {"www-authenticate": challenge})
        return person


def permitted(person: Person, role: Role) -> Person:
    """The person, where they have this role; else the answer is 403."""
    if not person.may(role):
        raise HTTPException(403, f"This takes a token with the role {role}.")
    return person
