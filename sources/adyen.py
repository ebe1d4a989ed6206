"""Adyen, as a gateway: its standard webhooks.

Every item of `notificationItems` carries a signature of its own in `additionalData.hmacSignature`: base64 of
HMAC-SHA256 with the hexadecimal key decoded, over eight of its fields joined with ":" and without any escaping (Adyen's
libraries and their published test vectors). Nothing else is signed: not the dates, not the rest of `additionalData`,
not `live`. So a delivery is authentic only where every item of it is, and a delivery without items is not.

Since nothing is escaped, a colon could move from one field to the next under the same signature: the references and
codes that decide anything are taken only in forms that have none.
"""

import base64
import hmac
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from config.values import Secret, lines
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundKind, RefundStatus
from ledger.instants import Instant, from_rfc3339
from ledger.money import AMOUNT_MAX
from sources.amounts import Decimals, minor_units
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, array_member, as_object, basic_password, body_key, json_object, texts

# docs.adyen.com/development-resources/currency-codes: "For CLP, CVE, IDR, and ISK the standard has a different number".
_DECIMALS = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}

_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_CODE = re.compile(r"[A-Z0-9_]{1,80}", re.ASCII)

# What a refund is when the event's `success` is true. Of those that tell of a failure it means: the failure happened.
_REFUNDS: dict[str, RefundStatus] = {
    "REFUND": "succeeded",
    "REFUND_WITH_DATA": "succeeded",
    "REFUND_FAILED": "failed",
    "REFUNDED_REVERSED": "failed",
}
_CANCELLATIONS = ("CANCELLATION", "TECHNICAL_CANCEL")
_EITHER = "CANCEL_OR_REFUND"
_VOID_REFUND = "VOID_PENDING_REFUND"
_MOVEMENTS: dict[str, Literal["withdrawn", "reinstated"]] = {
    "CHARGEBACK": "withdrawn",
    "CHARGEBACK_REVERSED": "reinstated",
    "SECOND_CHARGEBACK": "withdrawn",
}


def _hexadecimal(secret: Secret) -> Secret:
    if not re.fullmatch(r"([0-9A-Fa-f]{2})+", secret.get_secret_value(), re.ASCII):
        raise ValueError("is not hexadecimal: copy the HMAC key as the Customer Area shows it")
    return secret


class AdyenSettings(GatewaySettings):
    """The keys of an Adyen source."""

    kind: Literal["adyen"]
    webhook_secrets: Annotated[tuple[Annotated[Secret, AfterValidator(_hexadecimal)], ...], BeforeValidator(lines)] = (
        Field(min_length=1, description="add the HMAC key of your standard webhook (hexadecimal)")
    )
    webhook_password: Secret | None = None
    """Of HTTP Basic authentication, where the webhook is set up with it; wanted besides the signatures."""
    livemode: bool = True
    capture: Literal["automatic", "manual", "partial"] = "automatic"
    """`automatic`: an authorisation is captured as a whole, and a cancellation returns it. `manual`: CAPTURE tells what
    was captured, once. `partial`: a payment may be captured in several parts, so no event tells the total."""
    order_keys: tuple[str, ...] = ("merchantReference", "originalMerchantReference", "merchantOrderReference")
    """Where a refund tells the order's number: `merchantReference`, and keys of `additionalData`."""
    currency_decimals: Decimals = Field(default_factory=_DECIMALS.copy)


class Adyen(Source[AdyenSettings]):
    """A merchant account, or a company account, of Adyen."""

    kind = "adyen"
    role = "gateway"
    settings_model = AdyenSettings
    used_events = ("AUTHORISATION", "CAPTURE", *_REFUNDS, *_CANCELLATIONS, _EITHER, _VOID_REFUND, *_MOVEMENTS)
    kept_headers = ()
    accepted_reply = b"[accepted]"

    def __init__(self, name: str, settings: AdyenSettings) -> None:
        super().__init__(name, settings)
        self._keys = [bytes.fromhex(secret.get_secret_value()) for secret in settings.webhook_secrets]
        self._password = settings.webhook_password and settings.webhook_password.get_secret_value().encode()

    def authentic(self, delivery: Delivery) -> bool:
        """Whether every item is signed with one of the keys, and the password is right where there is one."""
        if self._password and not hmac.compare_digest(basic_password(delivery.headers), self._password):
            return False
        try:
            items, _ = array_member(delivery.body, "notificationItems")
        except NotUnderstood:
            return False
        # A delivery without items would prove nothing, and all() of nothing is true.
        return bool(items) and all(self._is_signed(value) for _, value in items)

    def messages(self, delivery: Delivery) -> list[Message]:
        """One message for each item. Its identity is the reference, the code and the outcome, all of them signed."""
        try:
            items, envelope = array_member(delivery.body, "notificationItems")
            used = _livemode(envelope) is self.settings.livemode
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        return [self._message(raw, value, used=used) for raw, value in items]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in one item."""
        try:
            return self._told(_Item(json_object(event.body)), event.received_at)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    def _is_signed(self, value: object) -> bool:
        try:
            fields = _fields(value)
            given = as_object(fields.get("additionalData"), "additionalData").get("hmacSignature")
        except NotUnderstood:
            return False
        signed = _signed(fields)
        if signed is None or not isinstance(given, str):
            return False
        signature = given.encode("utf-8", "replace")
        expected = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in self._keys]
        return any(hmac.compare_digest(e, signature) for e in expected)

    def _message(self, raw: bytes, value: object, *, used: bool) -> Message:
        try:
            item = _Item(value)
        except NotUnderstood:
            return Message(body_key(raw), "", raw, "malformed")
        verdict: Literal["used", "ignored"] = "used" if used and item.code in self.used_events else "ignored"
        return Message(item.key, item.code, raw, verdict)

    def _told(self, item: "_Item", received_at: Instant) -> list[Fact]:
        if item.code not in self.used_events:
            raise NotUnderstood("not a type of event that is used")
        reading = _Reading(self.name, self.settings, item, received_at)
        if item.code in _REFUNDS:
            return reading.refund(_REFUNDS[item.code])
        if item.code == _EITHER:
            return reading.cancel_or_refund()
        return reading.change() if item.success else []


class _Item:
    """What every item has."""

    def __init__(self, value: object) -> None:
        self.fields = _fields(value)
        self.reference = _reference(self.fields.get("pspReference"), "pspReference")
        code = self.fields.get("eventCode")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise NotUnderstood("eventCode is missing or not a code")
        self.code = code
        success = self.fields.get("success")
        if success not in ("true", "false"):
            raise NotUnderstood("success is neither true nor false")
        self.success = success == "true"
        self.key = f"{self.reference}:{code}:{success}"

    @property
    def original(self) -> str | None:
        """The payment that a modification is of; of a voided refund the refund."""
        told = self.fields.get("originalReference")
        return None if told in (None, "") else _reference(told, "originalReference")

    @property
    def additional(self) -> JsonObject:
        """`additionalData`, which is not signed."""
        return as_object(self.fields.get("additionalData") or {}, "additionalData")


class _Reading:
    """One item being read."""

    def __init__(self, source: str, settings: AdyenSettings, item: _Item, received_at: Instant) -> None:
        self._source = source
        self._settings = settings
        self._item = item
        amount = as_object(item.fields.get("amount"), "amount")
        self._amount, self._currency = minor_units(
            amount.get("value"), amount.get("currency"), settings.currency_decimals
        )
        # The date is not signed: it is never believed to be later than the arrival.
        self._at = min(from_rfc3339(item.fields.get("eventDate")), received_at)

    def refund(self, status: RefundStatus) -> list[Fact]:
        """A refund, which may fail days after it succeeded."""
        if self._item.success:
            return [self._returned("refund", status)]
        return [] if status == "failed" else [self._returned("refund", "failed")]

    def change(self) -> list[Fact]:
        """What a request that succeeded changed."""
        if self._item.code in _CANCELLATIONS:
            return self.cancellation()
        if self._item.code == _VOID_REFUND:
            return self.voided_refund()
        if self._item.code in _MOVEMENTS:
            return self.movement(_MOVEMENTS[self._item.code])
        return self.payment()

    def cancel_or_refund(self) -> list[Fact]:
        """Adyen chose which: it says so where it was done."""
        action = self._item.additional.get("modification.action")
        if not self._item.success:
            return [] if action == "cancel" else [self._returned("refund", "failed")]
        if action == "refund":
            return [self._returned("refund", "succeeded")]
        if action == "cancel":
            return self.cancellation()
        raise NotUnderstood("modification.action is neither cancel nor refund")

    def cancellation(self) -> list[Fact]:
        """An authorisation that was not captured is released."""
        if self._settings.capture == "automatic":
            return [self._returned("void", "succeeded")]
        if self._settings.capture == "partial" or not self._item.original:
            return []  # of a part that remained, or of nothing that is known
        return [PaymentFact(self._source, (self._item.original,), self._at, self._currency, voided=True)]

    def voided_refund(self) -> list[Fact]:
        """A refund at a terminal that was stopped before it was made."""
        if not self._item.original:
            raise NotUnderstood("originalReference is missing")
        amount, currency, at = self._amount, self._currency, self._at
        return [RefundFact(self._source, self._item.original, "refund", "canceled", amount, currency, at, at)]

    def movement(self, direction: Literal["withdrawn", "reinstated"]) -> list[Fact]:
        """A movement of a dispute: all of them carry the dispute's reference."""
        item = self._item
        paid = (item.original,) if item.original else ()
        amount, currency = self._amount, self._currency
        return [DisputeFact(self._source, item.reference, item.code, direction, amount, currency, self._at, paid)]

    def payment(self) -> list[Fact]:
        """An authorisation or a capture."""
        item, capture = self._item, self._settings.capture
        if item.code == "AUTHORISATION":
            captured = {"automatic": self._amount, "manual": 0, "partial": None}[capture]
            refs = self._order_refs(("merchantReference", *self._settings.order_keys))
            return [
                PaymentFact(
                    self._source, (item.reference,), self._at, self._currency, self._amount, captured, order_refs=refs
                )
            ]
        if not item.original:
            raise NotUnderstood("originalReference is missing")
        # Its merchantReference may be one of its own; the authorisation tells the order.
        taken = None if capture == "partial" else self._amount
        return [PaymentFact(self._source, (item.original,), self._at, self._currency, captured=taken)]

    def _returned(self, kind: RefundKind, status: RefundStatus) -> RefundFact:
        return RefundFact(
            self._source,
            self._item.reference,
            kind,
            status,
            self._amount,
            self._currency,
            at=self._at,
            as_of=self._at,
            payment_ids=(self._item.original,) if self._item.original else (),
            order_refs=self._order_refs(self._settings.order_keys),
        )

    def _order_refs(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        item = self._item
        told = (item.fields.get(key) if key == "merchantReference" else item.additional.get(key) for key in keys)
        return texts(told)


def _fields(value: object) -> JsonObject:
    return as_object(as_object(value, "the item").get("NotificationRequestItem"), "NotificationRequestItem")


def _livemode(envelope: JsonObject) -> bool:
    live = envelope.get("live")
    if live not in ("true", "false", True, False):
        raise NotUnderstood("live is neither true nor false")
    return live in ("true", True)


def _reference(value: object, name: str) -> str:
    if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
        raise NotUnderstood(f"{name} is missing or not a reference")
    return value


def _signed(fields: JsonObject) -> bytes | None:
    """What Adyen signs of an item; None where it has a part that is no text. An absent part counts as empty."""
    told = fields.get("amount")
    amount: JsonObject = told if isinstance(told, dict) else {}
    parts: list[Any] = [
        *(fields.get(n) for n in ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")),
        amount.get("value"),
        amount.get("currency"),
        fields.get("eventCode"),
        fields.get("success"),
    ]
    texts = ["" if part is None else part for part in parts]
    value = texts[4]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= AMOUNT_MAX:
        texts[4] = str(value)
    return ":".join(texts).encode("utf-8", "replace") if all(isinstance(t, str) for t in texts) else None
