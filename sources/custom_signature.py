"""How a gateway without a file of its own proves a delivery: what can be chosen from, and the verifiers.

For Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md) the project's own
library makes the signature that is wanted. Its `verify` is not used: it asks the machine's clock and not the time of
arrival, and raises what it does not declare. Comparison and age are ours.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from config.values import Duration, Secret
from ledger.instants import SECOND, Instant
from sources.base import Delivery
from sources.parsing import basic_password, header_bytes

SIGNATURES_MAX = 8
"""No header has more of them while secrets rotate."""

Verifier: TypeAlias = Callable[[Delivery], bool]
"""Whether the sender of a delivery proved itself. Never raises, whatever arrives."""

_KEYS: dict[str, Callable[[str], bytes]] = {
    "text": str.encode,
    "hex": bytes.fromhex,
    "base64": lambda text: base64.b64decode(text, validate=True),
}


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        raise ValueError('write the name of a header, as "X-Signature"')
    return name.lower()


def _prefix(prefix: str) -> str:
    if "," in prefix or prefix != prefix.lstrip():
        raise ValueError('has a comma or begins with a blank: write what stands before one signature, as "sha256="')
    return prefix


HeaderName = Annotated[str, AfterValidator(_header_name)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class _Scheme(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


class Mac(_Scheme):
    """A digest over the body, made with the secret."""

    scheme: Literal["hmac", "hash"]
    """`hash`: the plain digest of what is signed with the secret behind it."""
    header: HeaderName
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Prefix = ""
    """What stands before each signature, as "sha256=" or "v1="."""
    key_format: Literal["text", "hex", "base64"] = "text"
    """How the secret is written: it is the text itself, or the bytes that the text spells."""
    signed: str = "{body}"
    """What is signed, as "{timestamp}.{body}"."""
    timestamp_header: HeaderName | None = None
    timestamp_prefix: Prefix | None = None
    """What stands before the time where it is in the signature's own header, as "t="."""
    tolerance: Duration = "5m"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _time_is_signed(self) -> "Mac":
        places = [place for place in (self.timestamp_header, self.timestamp_prefix) if place]
        if "{body}" not in self.signed:
            raise ValueError('signed does not name {body}: write it as "{body}" or "{timestamp}.{body}"')
        if len(places) != ("{timestamp}" in self.signed):
            raise ValueError("{timestamp} in signed, and either timestamp_header or timestamp_prefix, go together")
        return self

    def verifier(self, secrets: Iterable[Secret]) -> Verifier:
        """For these secrets. Raises ValueError where one is not encoded as the settings say."""
        try:
            keys = [_KEYS[self.key_format](secret.get_secret_value()) for secret in secrets]
        except ValueError:
            raise ValueError(f"one is not {self.key_format}, as signature.key_format says") from None

        def proves(delivery: Delivery) -> bool:
            parts = delivery.headers.get(self.header, "").split(",", SIGNATURES_MAX)[:SIGNATURES_MAX]
            parts = [part.strip() for part in parts]
            timestamp = self._timestamp(delivery, parts)
            if timestamp is None or (timestamp and not _is_near(timestamp, delivery.arrived_at, self.tolerance)):
                return False
            # The time first: there are only digits in it, and anything may be in the body.
            signed = self.signed.encode().replace(b"{timestamp}", timestamp.encode())
            signed = signed.replace(b"{body}", delivery.body)
            given = [self._as_written(p.removeprefix(self.prefix)) for p in parts if p.startswith(self.prefix)]
            expected = [self._digest(key, signed) for key in keys]
            # Every secret against every signature: what fits shows in no difference of time.
            return any(hmac.compare_digest(e, g) for e in expected for g in given)

        return proves

    def _timestamp(self, delivery: Delivery, parts: list[str]) -> str | None:
        """The time as it was sent; empty where none is signed, None where one is missing or is not a time."""
        if self.timestamp_header:
            told = delivery.headers.get(self.timestamp_header, "").strip()
        elif self.timestamp_prefix:
            prefix = self.timestamp_prefix
            told = next((part.removeprefix(prefix) for part in parts if part.startswith(prefix)), "")
        else:
            return ""
        return told if re.fullmatch(r"[0-9]{10}([0-9]{3})?", told, re.ASCII) else None

    def _digest(self, key: bytes, signed: bytes) -> bytes:
        if self.scheme == "hmac":
            digest = hmac.digest(key, signed, self.algorithm)
        else:
            digest = hashlib.new(self.algorithm, signed + key).digest()
        return digest.hex().encode() if self.encoding == "hex" else base64.b64encode(digest)

    def _as_written(self, signature: str) -> bytes:
        return (signature.lower() if self.encoding == "hex" else signature).encode("latin-1", "replace")


class StandardWebhooks(_Scheme):
    """Standard Webhooks: its headers, its secret (`whsec_…`), its signature."""

    scheme: Literal["standard_webhooks"]
    tolerance: Duration = "5m"  # type: ignore[assignment]

    def verifier(self, secrets: Iterable[Secret]) -> Verifier:
        """For these secrets. Raises ValueError where one is not base64."""
        from standardwebhooks.webhooks import Webhook

        texts = [secret.get_secret_value().removeprefix("whsec_") for secret in secrets]
        try:
            # The library would leave out what is not base64, and sign with what is left.
            keys = [base64.b64decode(text, validate=True) for text in texts]
        except binascii.Error:
            raise ValueError("one is not base64: copy the secret as the sender shows it (whsec_…)") from None
        if not all(keys):
            raise ValueError("one is nothing but whsec_: copy the secret as the sender shows it")
        signers = [Webhook(key) for key in keys]

        def proves(delivery: Delivery) -> bool:
            headers = delivery.headers
            message, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            if not message or not re.fullmatch(r"[0-9]{10}", timestamp, re.ASCII):
                return False
            if not _is_near(timestamp, delivery.arrived_at, self.tolerance):
                return False
            try:
                body = delivery.body.decode()
            except UnicodeDecodeError:
                return False  # it is JSON by the standard, and JSON is UTF-8
            at = datetime.fromtimestamp(int(timestamp), UTC)
            expected = [signer.sign(message, at, body).encode() for signer in signers]
            given = header_bytes(headers, "webhook-signature").split(b" ", SIGNATURES_MAX)[:SIGNATURES_MAX]
            return any(hmac.compare_digest(e, g) for e in expected for g in given)

        return proves


class Token(_Scheme):
    """A fixed token in a header: it proves who sends, and nothing about the body."""

    scheme: Literal["token"]
    header: HeaderName
    prefix: str = ""
    """What stands before it, as "Bearer "."""

    def verifier(self, secrets: Iterable[Secret]) -> Verifier:
        """For these secrets."""
        wanted = [(self.prefix + secret.get_secret_value()).encode() for secret in secrets]

        def proves(delivery: Delivery) -> bool:
            given = header_bytes(delivery.headers, self.header)
            return any(hmac.compare_digest(token, given) for token in wanted)

        return proves


class Basic(_Scheme):
    """HTTP Basic: the secret is the password. The user name, which is no secret, decides nothing."""

    scheme: Literal["basic"]

    def verifier(self, secrets: Iterable[Secret]) -> Verifier:
        """For these secrets."""
        wanted = [secret.get_secret_value().encode() for secret in secrets]

        def proves(delivery: Delivery) -> bool:
            given = basic_password(delivery.headers)
            return any(hmac.compare_digest(password, given) for password in wanted)

        return proves


Signature = Annotated[Mac | StandardWebhooks | Token | Basic, Field(discriminator="scheme")]


def _is_near(timestamp: str, now: Instant, tolerance: timedelta) -> bool:
    """Whether a time of ten digits (seconds) or thirteen (milliseconds) is not further away than that."""
    at = int(timestamp.ljust(16, "0"))
    return abs(now - at) <= tolerance.total_seconds() * SECOND
