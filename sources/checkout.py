"""Checkout.com, as a gateway: its workflow webhooks.

Signature: `Cko-Signature` is HMAC-SHA256 in lower-case hexadecimal over the raw body, with the signature key of the
workflow as text; beside it the workflow may send a fixed `Authorization` header
(checkout.com/docs, "Set up your webhook receiver"). There is no time in it: age proves nothing.

`data.balances` holds running totals of the payment. The one that is read is what was captured; `total_refunded` is
never an amount of a refund.
"""

import hmac
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.values import Secret, lines
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import Decimals, minor_units
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, clean, header_bytes, identifier, json_object, texts

# checkout.com/docs/resources/calculating-the-amount: what it does not list is divided by 100.
_DECIMALS = {"CLF": 2, "CLP": 2, "UYI": 2, "UYW": 2}

_REFUNDS: dict[str, RefundStatus] = {
    "payment_refund_pending": "pending",
    "payment_refunded": "succeeded",
    "payment_refund_declined": "failed",
}
_RELEASED = ("payment_voided", "payment_canceled")
_PAYMENTS = ("payment_approved", "payment_captured", *_RELEASED)
_RETURNED = "payment_returned"
# The account is debited when evidence is asked for, and credited again when the dispute ends in our favour. What ends
# against us, or was accepted, says once more that the money is gone: each direction counts once.
_DISPUTES: dict[str, Literal["withdrawn", "reinstated"]] = {
    "dispute_evidence_required": "withdrawn",
    "dispute_accepted": "withdrawn",
    "dispute_expired": "withdrawn",
    "dispute_lost": "withdrawn",
    "dispute_won": "reinstated",
    "dispute_canceled": "reinstated",
    "dispute_resolved": "reinstated",
}


class CheckoutSettings(GatewaySettings):
    """The keys of a Checkout.com source."""

    kind: Literal["checkout"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the signature key of your workflow's webhook"
    )
    webhook_authorization: Secret | None = None
    """The fixed `Authorization` header of the webhook, where it sends one; wanted besides the signature."""
    order_keys: tuple[str, ...] = ("reference", "order_id", "order_number")
    """Where a refund tells the order's number: `reference`, and keys of the metadata."""
    currency_decimals: Decimals = Field(default_factory=_DECIMALS.copy)


class Checkout(Source[CheckoutSettings]):
    """An account of Checkout.com."""

    kind = "checkout"
    role = "gateway"
    settings_model = CheckoutSettings
    used_events = (*_REFUNDS, *_PAYMENTS, _RETURNED, *_DISPUTES)
    kept_headers = ("cko-signature",)
    payment_id_form = r"pay_[a-z0-9]+"

    def __init__(self, name: str, settings: CheckoutSettings) -> None:
        super().__init__(name, settings)
        self._secrets = [secret.get_secret_value().encode() for secret in settings.webhook_secrets]
        wanted = settings.webhook_authorization
        self._authorization = wanted and wanted.get_secret_value().encode()

    def authentic(self, delivery: Delivery) -> bool:
        """Whether the signature fits one of the keys, and the fixed header is right where there is one."""
        if self._authorization:
            given = header_bytes(delivery.headers, "authorization")
            if not hmac.compare_digest(given, self._authorization):
                return False
        signature = header_bytes(delivery.headers, "cko-signature").lower()
        expected = [hmac.digest(secret, delivery.body, "sha256").hex().encode() for secret in self._secrets]
        return any(hmac.compare_digest(e, signature) for e in expected)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event of the delivery; its identity is its id, also when it is sent again."""
        try:
            key, event_type, _ = _envelope(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        return [Message(key, event_type, delivery.body, "used" if event_type in self.used_events else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in an event."""
        _, event_type, fields = _envelope(event.body)
        if event_type not in self.used_events:
            raise NotUnderstood("not a type of event that is used")
        try:
            reading = _Reading(self.name, self.settings, fields, event.received_at)
            if event_type in _REFUNDS:
                return reading.refund(_REFUNDS[event_type])
            if event_type in _DISPUTES:
                return reading.dispute(_DISPUTES[event_type])
            return reading.returned() if event_type == _RETURNED else [reading.payment(event_type)]
        except ValueError as error:
            raise NotUnderstood(str(error)) from None


class _Reading:
    """One event being read."""

    def __init__(self, source: str, settings: CheckoutSettings, fields: JsonObject, received_at: Instant) -> None:
        self._source = source
        self._settings = settings
        self._data = as_object(fields.get("data"), "data")
        self._received_at = received_at
        told = fields.get("created_on") or fields.get("timestamp")
        self._as_of = min(from_rfc3339(told), received_at)
        self._amount, self._currency = self._counted(self._data.get("amount"))

    def refund(self, status: RefundStatus) -> list[Fact]:
        """A refund; its action is its identity. With it comes what was captured of the payment."""
        code = clean(self._data.get("response_code"))
        if status == "succeeded" and code and not code.startswith("10"):
            raise NotUnderstood("a refund that succeeded has the response_code of a decline")
        payment_id = self._payment_id()
        returned = RefundFact(
            self._source,
            identifier(self._data.get("action_id"), "action_id"),
            "refund",
            status,
            self._amount,
            self._currency,
            at=self._processed_at(),
            as_of=self._as_of,
            payment_ids=(payment_id,),
            order_refs=self._order_refs(self._settings.order_keys),
        )
        captured = self._captured()
        if captured is None:
            return [returned]
        return [returned, PaymentFact(self._source, (payment_id,), self._as_of, self._currency, captured=captured)]

    def payment(self, event_type: str) -> Fact:
        """A payment that was approved, captured or released. An amount alone may be one capture of several."""
        return PaymentFact(
            self._source,
            (self._payment_id(),),
            self._as_of,
            self._currency,
            authorised=self._amount if event_type == "payment_approved" else None,
            captured=self._captured(),
            voided=event_type in _RELEASED,
            order_refs=self._order_refs(("reference", *self._settings.order_keys)),
        )

    def returned(self) -> list[Fact]:
        """A payment that the customer's bank took back; a payout that came back to us is none."""
        if self._data.get("destination") is not None:
            return []
        payment_id, action_id = self._payment_id(), identifier(self._data.get("action_id"), "action_id")
        return [self._moved(action_id, "withdrawn", self._processed_at(), payment_id)]

    def dispute(self, direction: Literal["withdrawn", "reinstated"]) -> list[Fact]:
        """The money of a dispute, taken or given back: no event names a movement."""
        dispute_id = identifier(self._data.get("id"), "id of the dispute")
        payment_id = identifier(self._data.get("payment_id"), "payment_id")
        told = self._data.get("date")
        at = self._as_of if told is None else min(from_rfc3339(told), self._received_at)
        return [self._moved(dispute_id, direction, at, payment_id)]

    def _moved(
        self, dispute_id: str, direction: Literal["withdrawn", "reinstated"], at: Instant, payment_id: str
    ) -> DisputeFact:
        return DisputeFact(
            self._source, dispute_id, "", direction, self._amount, self._currency, at, payment_ids=(payment_id,)
        )

    def _payment_id(self) -> str:
        return identifier(self._data.get("id"), "id of the payment")

    def _processed_at(self) -> Instant:
        told = self._data.get("processed_on")
        return self._as_of if told is None else min(from_rfc3339(told), self._received_at)

    def _captured(self) -> int | None:
        balances = self._data.get("balances")
        told = balances.get("total_captured") if isinstance(balances, dict) else None
        return None if told is None else self._counted(told)[0]

    def _counted(self, value: object) -> tuple[int, str]:
        return minor_units(value, self._data.get("currency"), self._settings.currency_decimals)

    def _order_refs(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        told = self._data.get("metadata")
        metadata = told if isinstance(told, dict) else {}
        found = (self._data.get(key) if key == "reference" else metadata.get(key) for key in keys)
        return texts(found)


def _envelope(body: bytes) -> tuple[str, str, JsonObject]:
    """The id and the type of an event, and all of it."""
    fields = json_object(body)
    return identifier(fields.get("id"), "id"), identifier(fields.get("type"), "type"), fields
