"""Worldpay, as a gateway: the events of Access Worldpay.

Signature: `Event-Signature: {keyId}/SHA256/{signature}`, several of them separated by commas and in any order while
keys rotate; HMAC-SHA256 over the raw body (docs.worldpay.com/access/products/events/signature). The page names neither
the form of the secret nor that of the signature: the secret is taken as hexadecimal, as a published integration does,
or as text where a setting says so; the signature is read as hexadecimal or base64, which its length tells.
There is no time in it: age proves nothing.
"""

import base64
import binascii
import hmac
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.values import Secret, lines
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import Decimals, minor_units
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, clean, identifier, json_object

SIGNATURES_MAX = 8
"""No header has more of them while keys rotate."""

_SIGNATURE = re.compile(r"[^/,]{1,64}/SHA-?256/([0-9A-Za-z+/=]{43,64})", re.ASCII | re.IGNORECASE)

_SENT = "sentForRefund"
_REFUNDS: dict[str, RefundStatus] = {_SENT: "succeeded", "refunded": "succeeded", "refundFailed": "failed"}
_RELEASED = ("sentForCancellation", "cancelled")
_SETTLED = "sentForSettlement"
_CHARGED_BACK = "chargedBack"


class WorldpaySettings(GatewaySettings):
    """The keys of a Worldpay source."""

    kind: Literal["worldpay"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the shared secret that Worldpay gave you for Event-Signature"
    )
    signature_key_format: Literal["hex", "text"] = "hex"
    """`hex`: the secret is the bytes that its hexadecimal text spells. `text`: it is the text."""
    refunded_is_sent: bool = False
    """Whether Worldpay sends `refunded` for this account: then a refund that is only `sentForRefund` is pending."""
    chargeback_reversals: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]{1,64}$")], ...] = ()
    """Types of events that say that a charged-back amount was given back: Worldpay publishes none."""
    currency_decimals: Decimals = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hexadecimal(self) -> "WorldpaySettings":
        texts = [secret.get_secret_value() for secret in self.webhook_secrets]
        if self.signature_key_format == "hex" and not all(re.fullmatch(r"([0-9A-Fa-f]{2})+", t) for t in texts):
            raise ValueError('a webhook secret is not hexadecimal: mend it, or set signature_key_format = "text"')
        return self


class Worldpay(Source[WorldpaySettings]):
    """An entity of Access Worldpay."""

    kind = "worldpay"
    role = "gateway"
    settings_model = WorldpaySettings
    used_events = (*_REFUNDS, "authorized", _SETTLED, *_RELEASED, _CHARGED_BACK)
    kept_headers = ("event-signature",)

    def __init__(self, name: str, settings: WorldpaySettings) -> None:
        super().__init__(name, settings)
        as_hex = settings.signature_key_format == "hex"
        texts = [secret.get_secret_value() for secret in settings.webhook_secrets]
        self._secrets = [bytes.fromhex(text) if as_hex else text.encode() for text in texts]
        self._used = {*self.used_events, *settings.chargeback_reversals}

    def authentic(self, delivery: Delivery) -> bool:
        """Whether one of the signatures fits one of the secrets. The ids of the keys decide nothing."""
        parts = delivery.headers.get("event-signature", "").split(",", SIGNATURES_MAX)[:SIGNATURES_MAX]
        given = [digest for part in parts if (digest := _digest(part.strip()))]
        expected = [hmac.digest(secret, delivery.body, "sha256") for secret in self._secrets]
        return any(hmac.compare_digest(e, g) for e in expected for g in given)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event of the delivery; its identity is its eventId, also when it is sent again."""
        try:
            fields = json_object(delivery.body)
            key, event_type = identifier(fields.get("eventId"), "eventId"), _type(_details(fields))
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        return [Message(key, event_type, delivery.body, "used" if event_type in self._used else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in an event."""
        fields = json_object(event.body)
        event_type = _type(_details(fields))
        if event_type not in self._used:
            raise NotUnderstood("not a type of event that is used")
        try:
            reading = _Reading(self.name, self.settings, fields, event.received_at)
            if event_type in _REFUNDS:
                pending = event_type == _SENT and self.settings.refunded_is_sent
                return [reading.refund("pending" if pending else _REFUNDS[event_type])]
            if event_type == _CHARGED_BACK:
                return [reading.movement("withdrawn")]
            if event_type in self.settings.chargeback_reversals:
                return [reading.movement("reinstated")]
            return [reading.payment(event_type)]
        except ValueError as error:
            raise NotUnderstood(str(error)) from None


class _Reading:
    """One event being read."""

    def __init__(self, source: str, settings: WorldpaySettings, fields: JsonObject, received_at: Instant) -> None:
        self._source = source
        self._event_id = identifier(fields.get("eventId"), "eventId")
        self._details = _details(fields)
        self._payment = identifier(self._details.get("transactionReference"), "transactionReference")
        amount = as_object(self._details.get("amount"), "amount")
        self._amount, self._currency = minor_units(
            amount.get("value"), amount.get("currencyCode"), settings.currency_decimals
        )
        # Without a zone it is UTC.
        self._at = min(from_rfc3339(fields.get("eventTimestamp")), received_at)

    def refund(self, status: RefundStatus) -> RefundFact:
        """A refund. A partial one has a reference of its own; a full one has none, and is told by its amount."""
        told = self._details.get("reference")
        reference = f"full:{self._amount}" if told in (None, "") else identifier(told, "reference")
        return RefundFact(
            self._source,
            identifier(f"{self._payment}:{reference}", "id of the refund"),
            "refund",
            status,
            self._amount,
            self._currency,
            at=self._at,
            as_of=self._at,
            payment_ids=(self._payment,),
            order_refs=self._order_refs(),
        )

    def payment(self, event_type: str) -> PaymentFact:
        """A payment. A settlement with a reference is one part of several: it does not tell the total."""
        whole = event_type == _SETTLED and self._details.get("reference") in (None, "")
        return PaymentFact(
            self._source,
            (self._payment,),
            self._at,
            self._currency,
            authorised=self._amount if event_type == "authorized" else None,
            captured=self._amount if whole else None,
            voided=event_type in _RELEASED,
            order_refs=self._order_refs(),
        )

    def movement(self, direction: Literal["withdrawn", "reinstated"]) -> DisputeFact:
        """Charged back, or given back: one dispute for each payment, a movement for each event."""
        amount, currency = self._amount, self._currency
        return DisputeFact(
            self._source, self._payment, self._event_id, direction, amount, currency, self._at, (self._payment,)
        )

    def _order_refs(self) -> tuple[str, ...]:
        """The reference of a payment is the shop's own, so it may be the order's number."""
        text = clean(self._payment)
        return (text,) if text else ()


def _details(fields: JsonObject) -> JsonObject:
    return as_object(fields.get("eventDetails"), "eventDetails")


def _type(details: JsonObject) -> str:
    return identifier(details.get("type"), "type")


def _digest(signature: str) -> bytes | None:
    """The 32 bytes that a signature spells, in hexadecimal or in base64."""
    match = _SIGNATURE.fullmatch(signature)
    if not match:
        return None
    try:
        return bytes.fromhex(match[1]) if len(match[1]) == 64 else base64.b64decode(match[1], validate=True)
    except (ValueError, binascii.Error):
        return None
