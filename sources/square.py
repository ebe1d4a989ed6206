"""Square, as a gateway.

Signatures: `x-square-hmacsha256-signature` is base64 of HMAC-SHA256 over the address of the subscription, byte for byte
as it is registered, followed by the raw body; the key is the signature key as text (proven by a published delivery of
square-python-sdk). The older `x-square-signature` is SHA-1 and not looked at. No time is signed.

What is polled (square_api.py) is read here as well: `api.refund` is a refund as it was at that moment.
"""

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from config.values import ApiBase, Duration, PollInterval, Secret, lines, without_path
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.amounts import minor_units
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, header_bytes, identifier, json_object, texts

if TYPE_CHECKING:
    from sources.square_api import SquarePoller

STATE = "api."
"""Begins the type of what was polled: `api.refund`, `api.payment`, `api.dispute`."""

ID = re.compile(r"[A-Za-z0-9_-]{1,192}", re.ASCII)
"""An id that can be asked about."""

_REFUND_STATUS: dict[str, RefundStatus] = {
    "PENDING": "pending",
    "APPROVED": "pending",
    "COMPLETED": "succeeded",
    "REJECTED": "failed",
    "FAILED": "failed",
}
_PAYMENT_STATES = ("APPROVED", "PENDING", "COMPLETED", "CANCELED", "FAILED")

DISPUTE_STATES = ("EVIDENCE_REQUIRED", "PROCESSING", "WON", "LOST", "ACCEPTED")
"""The states in which the bank has taken the money, or decided about it."""
_LOST = ("LOST", "ACCEPTED")
_UNMOVED = ("INQUIRY_EVIDENCE_REQUIRED", "INQUIRY_PROCESSING", "INQUIRY_CLOSED")


class SquareSettings(GatewaySettings):
    """The keys of a Square source."""

    kind: Literal["square"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the signature key of your webhook subscription"
    )
    notification_url: str = Field(pattern=r"^https?://[\x21-\x7e]{1,2000}$")
    """The address of the webhook subscription, exactly as it is registered: it is part of what is signed."""
    access_token: Secret | None = None
    api_base: Annotated[ApiBase, without_path("/v2")] = Field("https://connect.squareup.com", repr=False)
    order_keys: tuple[str, ...] = ("reference_id",)
    """Fields of a payment that hold the order's number."""
    disputes_withdraw: Literal["opened", "lost"] = "opened"
    """When a dispute takes its money: as soon as it is open, or only when it is lost."""
    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(5, ge=1, le=100)


class Square(Source[SquareSettings]):
    """A seller's account at Square."""

    kind = "square"
    role = "gateway"
    settings_model = SquareSettings
    used_events = (
        "refund.created",
        "refund.updated",
        "payment.created",
        "payment.updated",
        "dispute.created",
        "dispute.state.updated",
        "dispute.state.changed",
    )
    kept_headers = ("x-square-hmacsha256-signature",)

    def __init__(self, name: str, settings: SquareSettings) -> None:
        super().__init__(name, settings)
        self._secrets = [secret.get_secret_value().encode() for secret in settings.webhook_secrets]
        self._address = settings.notification_url.encode()

    def authentic(self, delivery: Delivery) -> bool:
        """Whether the signature fits one of the keys and the registered address."""
        given = header_bytes(delivery.headers, "x-square-hmacsha256-signature")
        signed = self._address + delivery.body
        expected = [base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in self._secrets]
        return any(hmac.compare_digest(e, given) for e in expected)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event of the delivery; its identity is its event_id and type, also when it is retried."""
        try:
            event = _Envelope(delivery.body)
            # The published examples give two events of one refund the same id, so the type is part of it.
            key = identifier(f"{event.id}:{event.type}", "key")
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        return [Message(key, event.type, delivery.body, "used" if event.type in self.used_events else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in an event's snapshot, or in the state of something that was polled."""
        try:
            if event.type.startswith(STATE):
                kind, thing = event.type.removeprefix(STATE), json_object(event.body)
            else:
                envelope = _Envelope(event.body)
                if envelope.type not in self.used_events:
                    raise NotUnderstood("not a type of event that is used")
                kind = envelope.type.partition(".")[0]
                told = as_object(as_object(envelope.fields.get("data"), "data").get("object"), "data.object")
                thing = as_object(told.get(kind), kind)
            if kind not in _READERS:
                raise NotUnderstood("not a kind of state that is used")
            return _READERS[kind](_Reading(self.name, self.settings), thing)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    @property
    def askable(self) -> bool:
        """Whether there is a token for the API, and polling is not switched off."""
        return self.settings.access_token is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002
        """The payment of a refund: only it tells the order's number and what was captured."""
        refunds = [fact for fact in facts if isinstance(fact, RefundFact)]
        return [f"payment:{i}" for fact in refunds for i in fact.payment_ids if ID.fullmatch(i)]

    def poller(self) -> "SquarePoller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.square_api import SquarePoller

        return SquarePoller(self, system_clock)


class _Envelope:
    """What every event has."""

    def __init__(self, body: bytes) -> None:
        self.fields = json_object(body)
        self.id = identifier(self.fields.get("event_id"), "event_id")
        self.type = identifier(self.fields.get("type"), "type")


class _Reading:
    """One snapshot being read. Each has its own times, so it does not matter how it came here."""

    def __init__(self, source: str, settings: SquareSettings) -> None:
        self.source = source
        self.settings = settings

    def refund(self, refund: JsonObject) -> list[Fact]:
        """A refund. One that is not linked to a payment has none."""
        status = _REFUND_STATUS.get(_text(refund.get("status")))
        if status is None:
            raise NotUnderstood("status of the refund is not known")
        amount, currency = _money(refund.get("amount_money"))
        at, as_of = _times(refund)
        payment = refund.get("payment_id")
        return [
            RefundFact(
                self.source,
                identifier(refund.get("id"), "id of the refund"),
                "refund",
                status,
                amount,
                currency,
                at=at,
                as_of=as_of,
                payment_ids=() if payment is None else (identifier(payment, "payment_id"),),
                order_refs=self._order_refs(refund),
            )
        ]

    def payment(self, payment: JsonObject) -> list[Fact]:
        """What was authorised and captured. `refunded_money` is a running total: never read."""
        status = payment.get("status")
        if status not in _PAYMENT_STATES:
            raise NotUnderstood("status of the payment is not known")
        # With the tip, which can be refunded as well.
        amount, currency = _money(payment.get("total_money") or payment.get("amount_money"))
        return [
            PaymentFact(
                self.source,
                (identifier(payment.get("id"), "id of the payment"),),
                _times(payment)[1],
                currency,
                authorised=amount if status == "APPROVED" else None,
                captured=amount if status == "COMPLETED" else 0,
                voided=status == "CANCELED",
                order_refs=self._order_refs(payment),
            )
        ]

    def dispute(self, dispute: JsonObject) -> list[Fact]:
        """The money that it took, and gave back when it was won. An inquiry moves none."""
        state = _text(dispute.get("state"))
        if state in _UNMOVED:
            return []
        if state not in DISPUTE_STATES:
            raise NotUnderstood("state of the dispute is not known")
        at, as_of = _times(dispute)
        if self.settings.disputes_withdraw == "lost":
            return [self._moved(dispute, "withdrawn", as_of)] if state in _LOST else []
        taken = self._moved(dispute, "withdrawn", at)
        return [taken, self._moved(dispute, "reinstated", as_of)] if state == "WON" else [taken]

    def _moved(self, dispute: JsonObject, direction: Literal["withdrawn", "reinstated"], at: Instant) -> DisputeFact:
        amount, currency = _money(dispute.get("amount_money"))
        payment = as_object(dispute.get("disputed_payment"), "disputed_payment").get("payment_id")
        own = identifier(dispute.get("id", dispute.get("dispute_id")), "id of the dispute")
        ids = (identifier(payment, "payment_id"),)
        return DisputeFact(self.source, own, "", direction, amount, currency, at, ids)

    def _order_refs(self, thing: JsonObject) -> tuple[str, ...]:
        return texts(thing.get(key) for key in self.settings.order_keys)


_READERS: dict[str, Callable[[_Reading, JsonObject], list[Fact]]] = {
    "refund": _Reading.refund,
    "payment": _Reading.payment,
    "dispute": _Reading.dispute,
}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _money(value: object) -> tuple[int, str]:
    """Amount and currency: the smallest unit that the currency has by ISO 4217."""
    money = as_object(value, "amount")
    return minor_units(money.get("amount"), money.get("currency"), {})


def _times(thing: JsonObject) -> tuple[Instant, Instant]:
    """When it was made, and when it last changed."""
    made = from_rfc3339(thing.get("created_at"))
    changed = thing.get("updated_at")
    return made, made if changed is None else max(made, from_rfc3339(changed))
