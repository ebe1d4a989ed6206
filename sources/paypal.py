"""PayPal, as a gateway.

Signatures: `PAYPAL-TRANSMISSION-SIG` is RSA PKCS#1 v1.5 with SHA-256, base64, over "<transmission id>|<transmission
time>|<webhook id>|<CRC-32 of the raw body, decimal>", by the certificate at `PAYPAL-CERT-URL`
(developer.paypal.com/api/rest/webhooks/rest). There is no shared secret: that the webhook id is ours is the proof.

A refund is read from its own amount: `seller_payable_breakdown.total_refunded_amount` is a running total of the whole
capture. What is polled (paypal_api.py) is read here as well.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from config.values import ApiBase, Duration, PollInterval, Secret, lines, together_with, without_path
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from ledger.money import currency_of, from_decimal
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, identifier, json_object, texts
from sources.paypal_certificates import Certificates

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from sources.paypal_api import PayPalPoller

LIVE = "https://api-m.paypal.com"
_HOSTS = {
    LIVE: ("https://api.paypal.com", LIVE),
    "https://api-m.sandbox.paypal.com": ("https://api.sandbox.paypal.com", "https://api-m.sandbox.paypal.com"),
}
"""Where the certificates of an API may lie."""

REFUND, CAPTURE, TRANSACTION = "api.refund", "api.capture", "api.transaction"
"""The types of what was polled: a refund, a capture, and a refund's line in the transaction search."""

ID = re.compile(r"[A-Za-z0-9-]{1,36}", re.ASCII)
"""An id that can be asked about."""

_REFUND_STATUS: dict[str, RefundStatus] = {
    "PENDING": "pending",
    "COMPLETED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}
_LINE_STATUS: dict[str, RefundStatus] = {"P": "pending", "S": "succeeded", "D": "failed", "V": "canceled"}
_TAKEN = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
_NOT_TAKEN = ("DECLINED", "DENIED", "FAILED")
_GIVEN_BACK = ("RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER")
"""Outcomes of a dispute after which the seller has the money."""

_PAYMENT_OF = re.compile(r".*/(?:captures?|sale)/([A-Za-z0-9-]{1,36})", re.ASCII)


def _own(webhook_id: str) -> str:
    # PayPal's simulator signs with this one whatever anybody has it send.
    if webhook_id == "WEBHOOK_ID":
        raise ValueError("anybody can have PayPal's simulator sign with WEBHOOK_ID: take the id of your own webhook")
    return webhook_id


class PayPalSettings(GatewaySettings):
    """The keys of a PayPal source."""

    kind: Literal["paypal"]
    webhook_ids: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$"), AfterValidator(_own)], ...],
        BeforeValidator(lines),
    ] = Field(min_length=1, description="add the id of your webhook, as PayPal's dashboard shows it")
    client_id: Secret | None = None
    client_secret: Annotated[Secret | None, together_with("client_id")] = None
    api_base: Annotated[ApiBase, without_path("/v1")] = Field(LIVE, repr=False)
    order_keys: tuple[str, ...] = ("invoice_id", "custom_id", "invoice_number", "custom")
    """Fields of a refund or capture that hold the order's number."""
    transaction_search: bool = True
    """Whether the app may search transactions."""
    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(2, ge=1, le=100)


class PayPal(Source[PayPalSettings]):
    """An app of a PayPal business account."""

    kind = "paypal"
    role = "gateway"
    settings_model = PayPalSettings
    used_events = (
        "PAYMENT.CAPTURE.REFUNDED",
        "PAYMENT.REFUND.PENDING",
        "PAYMENT.REFUND.FAILED",
        "PAYMENT.CAPTURE.REVERSED",
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.DECLINED",
        "PAYMENT.CAPTURE.DENIED",
        "PAYMENT.AUTHORIZATION.VOIDED",
        "PAYMENT.SALE.REFUNDED",
        "PAYMENT.SALE.REVERSED",
        "PAYMENT.SALE.COMPLETED",
        "PAYMENT.SALE.DENIED",
        "CUSTOMER.DISPUTE.RESOLVED",
    )
    kept_headers = (
        "paypal-transmission-id",
        "paypal-transmission-time",
        "paypal-transmission-sig",
        "paypal-cert-url",
        "paypal-auth-algo",
    )
    payment_id_form = r"(?=.*[A-Z])[0-9A-Z]{17}"

    def __init__(self, name: str, settings: PayPalSettings) -> None:
        super().__init__(name, settings)
        self._certificates = Certificates(_HOSTS.get(settings.api_base, (settings.api_base,)))

    async def prepare(self, delivery: Delivery) -> None:
        """Have the certificate that the delivery names. Raises NotReady."""
        if _signature(delivery.headers) is not None:
            await self._certificates.want(delivery.headers.get("paypal-cert-url", ""), delivery.arrived_at)

    def authentic(self, delivery: Delivery) -> bool:
        """Whether PayPal signed it for one of our webhooks."""
        headers = delivery.headers
        signature = _signature(headers)
        key = self._certificates.key(headers.get("paypal-cert-url", ""), delivery.arrived_at)
        if signature is None or key is None:
            return False
        sent = f"{headers.get('paypal-transmission-id')}|{headers.get('paypal-transmission-time')}"
        checksum = zlib.crc32(delivery.body)
        texts = (f"{sent}|{webhook_id}|{checksum}" for webhook_id in self.settings.webhook_ids)
        return any(_fits(key, signature, text.encode("latin-1", "replace")) for text in texts)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event of the delivery; its identity is PayPal's event id, also when it is sent again."""
        try:
            event = _Envelope(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        used = event.type in self.used_events
        return [Message(event.id, event.type, delivery.body, "used" if used else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in an event, or in what was polled."""
        try:
            if event.type in _POLLED:
                reading = _Reading(self.name, self.settings.order_keys, event.received_at)
                return _POLLED[event.type](reading, json_object(event.body))
            envelope = _Envelope(event.body)
            if envelope.type not in _READERS:
                raise NotUnderstood("not a type of event that is used")
            reading = _Reading(self.name, self.settings.order_keys, None, envelope)
            return _READERS[envelope.type](reading, as_object(envelope.fields.get("resource"), "resource"))
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    @property
    def askable(self) -> bool:
        """Whether there are credentials for the API, and polling is not switched off."""
        return self.settings.client_id is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002
        """A refund that is under way; and the capture of one that names no order."""
        refunds = [fact for fact in facts if isinstance(fact, RefundFact)]
        about = [("refund", f.id) for f in refunds if f.status == "pending"]
        about += [("capture", i) for f in refunds if not f.order_refs for i in f.payment_ids]
        return [f"{kind}:{thing}" for kind, thing in about if ID.fullmatch(thing)]

    def poller(self) -> "PayPalPoller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.paypal_api import PayPalPoller

        return PayPalPoller(self, system_clock)


class _Envelope:
    """What every event has. What only some need is read when it is asked for."""

    def __init__(self, body: bytes) -> None:
        self.fields = json_object(body)
        self.id = identifier(self.fields.get("id"), "id")
        self.type = identifier(self.fields.get("event_type"), "event_type")

    @property
    def created(self) -> Instant:
        """When it happened."""
        return from_rfc3339(self.fields.get("create_time"))


class _Reading:
    """One resource being read: who tells it, in which event or as of which moment, and where its order's number is."""

    def __init__(
        self, source: str, order_keys: tuple[str, ...], as_of: Instant | None, envelope: _Envelope | None = None
    ) -> None:
        self.source = source
        self.order_keys = order_keys
        self._asked_at = as_of
        self._envelope = envelope

    def refund(self, refund: JsonObject) -> list[Fact]:
        """A refund, of a capture or (v1) of a sale."""
        status = _REFUND_STATUS.get(_status(refund))
        if status is None:
            raise NotUnderstood("status of the refund is not known")
        amount, currency = _money(refund.get("amount"))
        at = from_rfc3339(refund.get("create_time"))
        told = RefundFact(
            self.source,
            identifier(refund.get("id"), "id of the refund"),
            "refund",
            status,
            amount,
            currency,
            at=at,
            as_of=self._as_of(refund),
            payment_ids=_payments_of(refund),
            order_refs=self._order_refs(refund),
        )
        return [told]

    def line(self, line: JsonObject) -> list[Fact]:
        """A refund's line in the transaction search."""
        status = _LINE_STATUS.get(_status({"status": line.get("transaction_status")}))
        if status is None:
            raise NotUnderstood("status of the transaction is not known")
        amount, currency = _money(line.get("transaction_amount"))
        at, paid = from_rfc3339(line.get("transaction_initiation_date")), line.get("paypal_reference_id")
        told = RefundFact(
            self.source,
            identifier(line.get("transaction_id"), "id of the transaction"),
            "refund",
            status,
            amount,
            currency,
            at=at,
            as_of=max(at, from_rfc3339(line.get("transaction_updated_date"))),
            payment_ids=(identifier(paid, "id of the payment"),) if paid is not None else (),
            order_refs=self._order_refs({"custom_id": line.get("custom_field"), **line}),
        )
        return [told]

    def payment(self, payment: JsonObject) -> list[Fact]:
        """A capture, or a sale of v1: what was captured, where that is decided."""
        amount, currency = _money(payment.get("amount"))
        status = _status(payment)
        captured = amount if status in _TAKEN else 0 if status in _NOT_TAKEN else None
        return [
            PaymentFact(
                self.source,
                (identifier(payment.get("id"), "id of the payment"),),
                self._as_of(payment),
                currency,
                captured=captured,
                order_refs=self._order_refs(payment),
            )
        ]

    def voided(self, authorization: JsonObject) -> list[Fact]:
        """An authorisation that was released, or ran out: no money moved."""
        authorised, currency = _money(authorization.get("amount"))
        return [
            PaymentFact(
                self.source,
                (identifier(authorization.get("id"), "id of the authorisation"),),
                self._as_of(authorization),
                currency,
                authorised=authorised,
                voided=True,
                order_refs=self._order_refs(authorization),
            )
        ]

    def reversal(self, reversal: JsonObject) -> list[Fact]:
        """PayPal took the money of a payment back. The payment names the chargeback: no event tells its case."""
        amount, currency = _money(reversal.get("amount"))
        own = identifier(reversal.get("id"), "id of the reversal")
        ids = _payments_of(reversal) or (own,)
        at = from_rfc3339(reversal.get("update_time") or reversal.get("create_time"))
        return [DisputeFact(self.source, ids[0], own, "withdrawn", amount, currency, at, ids)]

    def resolved(self, dispute: JsonObject) -> list[Fact]:
        """A dispute that ended for the seller gives back what a reversal of its payment took, if one did."""
        outcome = dispute.get("dispute_outcome")
        if not isinstance(outcome, dict) or outcome.get("outcome_code") not in _GIVEN_BACK:
            return []  # the loss is told as a reversal or a refund
        disputed = dispute.get("disputed_transactions")
        if not isinstance(disputed, list) or len(disputed) != 1:
            raise NotUnderstood("the dispute is not about one payment")
        payment = identifier(as_object(disputed[0], "payment").get("seller_transaction_id"), "id of the payment")
        amount, currency = _money(dispute.get("dispute_amount"))
        own = identifier(dispute.get("dispute_id"), "id of the dispute")
        at = self._as_of(dispute)
        return [DisputeFact(self.source, payment, own, "reinstated", amount, currency, at, (payment,))]

    def _as_of(self, resource: JsonObject) -> Instant:
        """Of what was polled the moment of the request, else the resource's own time, else the event's."""
        if self._asked_at is not None:
            return self._asked_at
        assert self._envelope
        told = resource.get("update_time") or resource.get("create_time")
        return self._envelope.created if told is None else from_rfc3339(told)

    def _order_refs(self, resource: JsonObject) -> tuple[str, ...]:
        return texts(resource.get(key) for key in self.order_keys)


_READERS: dict[str, Callable[[_Reading, JsonObject], list[Fact]]] = {
    "PAYMENT.CAPTURE.REFUNDED": _Reading.refund,
    "PAYMENT.REFUND.PENDING": _Reading.refund,
    "PAYMENT.REFUND.FAILED": _Reading.refund,
    "PAYMENT.SALE.REFUNDED": _Reading.refund,
    "PAYMENT.CAPTURE.REVERSED": _Reading.reversal,
    "PAYMENT.SALE.REVERSED": _Reading.reversal,
    "PAYMENT.CAPTURE.COMPLETED": _Reading.payment,
    "PAYMENT.CAPTURE.DECLINED": _Reading.payment,
    "PAYMENT.CAPTURE.DENIED": _Reading.payment,
    "PAYMENT.SALE.COMPLETED": _Reading.payment,
    "PAYMENT.SALE.DENIED": _Reading.payment,
    "PAYMENT.AUTHORIZATION.VOIDED": _Reading.voided,
    "CUSTOMER.DISPUTE.RESOLVED": _Reading.resolved,
}
_POLLED = {REFUND: _Reading.refund, CAPTURE: _Reading.payment, TRANSACTION: _Reading.line}


def _signature(headers: Mapping[str, str]) -> bytes | None:
    """What is said to be the signature; None where the headers cannot be PayPal's."""
    if headers.get("paypal-auth-algo") != "SHA256withRSA":
        return None
    if not headers.get("paypal-transmission-id") or not headers.get("paypal-transmission-time"):
        return None
    try:
        return base64.b64decode(headers.get("paypal-transmission-sig", ""), validate=True) or None
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return None


def _fits(key: "RSAPublicKey", signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _status(resource: JsonObject) -> str:
    """`status`, or `state` as v1 has it in lower case."""
    status = resource.get("status", resource.get("state"))
    return status.upper() if isinstance(status, str) else ""


def _money(value: object) -> tuple[int, str]:
    """Amount and currency. v1 names them otherwise, and writes what goes back with a minus, as the search does."""
    money = as_object(value, "amount")
    currency = currency_of(money.get("currency_code", money.get("currency")))
    return abs(from_decimal(money.get("value", money.get("total")), currency)), currency


def _payments_of(returned: JsonObject) -> tuple[str, ...]:
    """The capture or sale that something went back of: only the link upwards tells it, in v1 a field."""
    links = returned.get("links")
    found = [returned.get("capture_id"), returned.get("sale_id")]
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "up":
            match = _PAYMENT_OF.fullmatch(str(link.get("href"))[:1000])
            found.append(match[1] if match else None)
    return tuple(dict.fromkeys(identifier(i, "id of the payment") for i in found if i is not None))
