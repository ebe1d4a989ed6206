"""Braintree, as a gateway.

A delivery is a form: `bt_payload` is base64 of XML, `bt_signature` holds `public_key|hex` for each key of the account,
joined by `&`. The hex is HMAC-SHA1 over the payload as it stands in the form, under the SHA-1 digest of the private
key (as braintree_python checks it). No time is signed and no event has an id.

Ordinary refunds send nothing: they are polled (braintree_api.py), and read by braintree_transactions.py.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import parse_qs

from pydantic import Field

from config.values import ApiBase, Duration, PollInterval, Secret, without_path
from ledger.facts import Fact
from ledger.instants import Instant, from_rfc3339
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.braintree_transactions import STATE, Reading, question, questions_of
from sources.parsing import JsonObject, as_object, body_key, identifier, json_object
from sources.xml_parsing import xml_object

if TYPE_CHECKING:
    from sources.braintree_api import BraintreePoller

_FAILED_REFUND = "refund_failed"
_PAYLOAD = re.compile(r"[A-Za-z0-9+/=\n]+", re.ASCII)
_KEYS_MAX = 20
"""Signatures of one delivery that are looked at: an account has a few keys."""
_CHALLENGE = re.compile(r"[a-f0-9]{20,32}", re.ASCII)


class BraintreeSettings(GatewaySettings):
    """The keys of a Braintree source."""

    kind: Literal["braintree"]
    public_key: str = Field(pattern=r"^[A-Za-z0-9_]{1,100}$", description="add the public key of an API key pair")
    private_key: Secret = Field(description="add the private key of the same API key pair")
    merchant_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,100}$")
    """With it Braintree can be asked."""
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    """Of a notification that tells none."""
    disputes_withdraw: Literal["opened", "lost"] = "opened"
    """When a chargeback takes its money: as soon as it is open, or only when it is lost."""
    api_base: Annotated[ApiBase, without_path("/merchants")] = Field("https://api.braintreegateway.com", repr=False)
    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(2, ge=1, le=100)


class Braintree(Source[BraintreeSettings]):
    """A merchant of Braintree."""

    kind = "braintree"
    role = "gateway"
    settings_model = BraintreeSettings
    used_events = (
        _FAILED_REFUND,
        "transaction_settled",
        "transaction_settlement_declined",
        "dispute_opened",
        "dispute_lost",
        "dispute_accepted",
        "dispute_auto_accepted",
        "dispute_expired",
        "dispute_won",
    )
    kept_headers = ()
    only_polled = True

    def __init__(self, name: str, settings: BraintreeSettings) -> None:
        super().__init__(name, settings)
        self._public_key = settings.public_key.encode()
        self._mac_key = hashlib.sha1(settings.private_key.get_secret_value().encode()).digest()  # noqa: S324 - theirs

    def authentic(self, delivery: Delivery) -> bool:
        """Whether one of the signatures is by our key and fits the payload."""
        signature, payload = _form(delivery.body)
        # What `answer_to_check` signs for anybody who asks is no payload.
        if _CHALLENGE.fullmatch(payload.strip()):
            return False
        pairs = [pair.partition("|") for pair in signature.split("&", _KEYS_MAX)[:_KEYS_MAX]]
        given = [digest.encode("utf-8", "replace") for key, _, digest in pairs if key.encode() == self._public_key]
        expected = [self._signed(text) for text in (payload, payload + "\n")]
        return any(hmac.compare_digest(e, g) for e in expected for g in given)

    def answer_to_check(self, query: bytes) -> bytes | None:
        """The proof that we have the keys, for `bt_challenge`."""
        fields = parse_qs(query.decode("latin-1")[:1000])
        challenge = fields.get("bt_challenge", [""])[0]
        if not _CHALLENGE.fullmatch(challenge):
            return None
        return self._public_key + b"|" + self._signed(challenge)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one notification of the delivery. It has no id: its identity is the hash of what it says."""
        try:
            notification = _Notification(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        used = notification.kind in self.used_events
        key = body_key(notification.xml)
        return [Message(key, notification.kind, delivery.body, "used" if used else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in a notification, or in the state of something that was polled."""
        try:
            if event.type.startswith(STATE):
                reading = Reading(
                    self.name, self.settings.disputes_withdraw, None, event.received_at, event.received_at
                )
                return reading.of(event.type.removeprefix(STATE), json_object(event.body))
            return self._told(_Notification(event.body), event.received_at)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    @property
    def askable(self) -> bool:
        """Whether the merchant is known, and polling is not switched off."""
        return self.settings.merchant_id is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002
        """Behind a notification its transaction; of a refund how it ends, and its payment."""
        if event.type.startswith(STATE):
            return list(questions_of(event.type.removeprefix(STATE), json_object(event.body)))
        thing, fields = _Notification(event.body).thing()
        if thing == "dispute":
            return list(questions_of(thing, fields))
        return list(question("refund" if event.type == _FAILED_REFUND else "payment", fields.get("id")))

    def poller(self) -> "BraintreePoller":
        """Its API."""
        from sources.braintree_api import BraintreePoller
        from sources.http_client import system_clock

        return BraintreePoller(self, system_clock)

    def _told(self, notification: "_Notification", received_at: Instant) -> list[Fact]:
        if notification.kind not in self.used_events:
            raise NotUnderstood("not a kind of notification that is used")
        thing, fields = notification.thing()
        if not fields.get("currency_iso_code") and self.settings.currency is None:
            if self.askable:
                return []  # its transaction is asked for, which tells it
            raise NotUnderstood("the currency is not told: set currency")
        if notification.kind == _FAILED_REFUND:
            fields = {**fields, "type": "credit", "status": "failed"}
        told_at = min(notification.at, received_at)
        reading = Reading(self.name, self.settings.disputes_withdraw, self.settings.currency, told_at, received_at)
        return reading.of(thing, fields)

    def _signed(self, text: str) -> bytes:
        return hmac.digest(self._mac_key, text.encode("utf-8", "replace"), "sha1").hex().encode()


class _Notification:
    """What every notification has."""

    def __init__(self, body: bytes) -> None:
        payload = _form(body)[1]
        if not _PAYLOAD.fullmatch(payload):
            raise NotUnderstood("bt_payload is not base64")
        try:
            self.xml = base64.b64decode(payload)
        except binascii.Error:
            raise NotUnderstood("bt_payload is not base64") from None
        self._fields = as_object(xml_object(self.xml).get("notification"), "notification")
        self.kind = identifier(self._fields.get("kind"), "kind")

    @property
    def at(self) -> Instant:
        """When it was made."""
        return from_rfc3339(self._fields.get("timestamp"))

    def thing(self) -> tuple[str, JsonObject]:
        """What it is about: "transaction" or "dispute", and its fields."""
        subject = as_object(self._fields.get("subject"), "subject")
        thing = "dispute" if self.kind.startswith("dispute_") else "transaction"
        return thing, as_object(subject.get(thing), thing)


def _form(body: bytes) -> tuple[str, str]:
    """Signature and payload; empty where the form is none."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=20)
    except ValueError:
        return "", ""
    return fields.get("bt_signature", [""])[0], fields.get("bt_payload", [""])[0]
