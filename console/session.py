"""Who is signed in at a browser: a signed cookie, and nothing that is kept here.

The signature's key is made of the token's digest and of a secret in the database. So a new token ends the sessions of
the old one, and neither a copy of the configuration nor one of the database is enough to forge a session.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from console.access import Access, Person
from ledger.instants import SECOND, Instant

COOKIE = "refund_ledger_session"
SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Session:
    """A person at a browser."""

    person: Person
    cookie: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def csrf(self) -> str:
        """What every form of this session carries, so that no other site can have it sent."""
        return _sign(self.key, "csrf", self.cookie)

    def is_csrf(self, given: str) -> bool:
        """Whether a form carried it."""
        return _same(given, self.csrf)

    def seal(self, text: str) -> str:
        """The text as a cookie that only this session reads."""
        packed = _pack(text)
        return f"{packed}.{_sign(self.key, self.cookie, packed)}"

    def unseal(self, sealed: str) -> str | None:
        """The text, or None where it is not one that this session sealed."""
        packed, _, signature = sealed.partition(".")
        return _unpack(packed) if _same(signature, _sign(self.key, self.cookie, packed)) else None


class Sessions:
    """Begins sessions, and knows them again."""

    def __init__(self, access: Access, secret: bytes) -> None:
        self._people = access.people
        self._secret = secret

    def begin(self, person: Person, now: Instant) -> Session:
        """A new session, good for SESSION_SECONDS."""
        said = _pack(f"{now + SESSION_SECONDS * SECOND}.{secrets.token_hex(16)}.{person.name}")
        key = self._key(person)
        return Session(person, f"{said}.{_sign(key, 'session', said)}", key)

    def find(self, cookie: str, now: Instant) -> Session | None:
        """The session of the cookie; None where it is not one of ours, or over, or its token is not valid any more."""
        said, _, signature = cookie.partition(".")
        expires, _, name = (_unpack(said) or "").partition(".")
        person = self._people.get(name.partition(".")[2])
        if person is None:
            return None
        key = self._key(person)
        ours = _same(signature, _sign(key, "session", said))
        return Session(person, cookie, key) if ours and int(expires) > now else None

    def _key(self, person: Person) -> bytes:
        return hmac.digest(self._secret, person.digest, "sha256")


def _sign(key: bytes, purpose: str, text: str) -> str:
    return hmac.digest(key, f"{purpose}\0{text}".encode(), "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _pack(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpack(packed: str) -> str | None:
    try:
        return urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except ValueError:
        return None
