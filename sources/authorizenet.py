"""Authorize.net, as a gateway.

Signatures: `X-ANET-Signature: sha512=<hex>` is HMAC-SHA512 over the raw body. The key is the Signature Key as the text
that the merchant interface shows, not the bytes that it spells (three published deliveries with their keys fit only
so); decoding it is a setting. There is no time in the signature, and retries span nine days: age proves nothing.

A webhook tells that a refund was made, not how it ended: that is polled (authorizenet_transactions.py reads it).
"""

import hmac
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.values import ApiBase, Duration, PollInterval, Secret, lines, together_with, without_path
from ledger.facts import Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import Instant, from_rfc3339
from sources.authorizenet_transactions import (
    DETAILS,
    ROW,
    Reading,
    details,
    order_refs,
    questions_of,
    reference_of,
)
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, identifier, json_object

if TYPE_CHECKING:
    from sources.authorizenet_api import AuthorizeNetPoller

_SIGNATURE = re.compile(r"sha512=([0-9a-f]{128})", re.ASCII | re.IGNORECASE)

_REFUND = "net.authorize.payment.refund.created"
_VOID = "net.authorize.payment.void.created"
_AUTHORIZATION = "net.authorize.payment.authorization.created"

_APPROVED, _HELD = "1", "4"
_REFUND_STATUS: dict[str, RefundStatus] = {_APPROVED: "succeeded", "2": "failed", "3": "failed", _HELD: "pending"}


class AuthorizeNetSettings(GatewaySettings):
    """The keys of an Authorize.net source."""

    kind: Literal["authorizenet"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the Signature Key of your account (128 hexadecimal characters)"
    )
    signature_key_format: Literal["text", "hex"] = "text"
    """`text`: the key is what the merchant interface shows. `hex`: it is the bytes that this spells."""
    api_login_id: Secret | None = None
    transaction_key: Annotated[Secret | None, together_with("api_login_id")] = None
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    """Of the whole account: Authorize.net never tells it."""
    api_base: Annotated[ApiBase, without_path("/rest or /xml")] = Field("https://api.authorize.net", repr=False)
    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(2, ge=1, le=100)

    @model_validator(mode="after")
    def _hexadecimal(self) -> "AuthorizeNetSettings":
        if self.signature_key_format == "hex":
            for secret in self.webhook_secrets:
                if not re.fullmatch(r"([0-9A-Fa-f]{2})+", secret.get_secret_value()):
                    raise ValueError(
                        'a webhook secret is not hexadecimal: mend it, or set signature_key_format = "text"'
                    )
        return self


class AuthorizeNet(Source[AuthorizeNetSettings]):
    """An account of Authorize.net."""

    kind = "authorizenet"
    role = "gateway"
    settings_model = AuthorizeNetSettings
    used_events = (
        _REFUND,
        _VOID,
        _AUTHORIZATION,
        "net.authorize.payment.authcapture.created",
        "net.authorize.payment.capture.created",
        "net.authorize.payment.priorAuthCapture.created",
    )
    kept_headers = ("x-anet-signature",)

    def __init__(self, name: str, settings: AuthorizeNetSettings) -> None:
        super().__init__(name, settings)
        texts = [secret.get_secret_value() for secret in settings.webhook_secrets]
        as_hex = settings.signature_key_format == "hex"
        self._secrets = [bytes.fromhex(text) if as_hex else text.encode() for text in texts]

    def authentic(self, delivery: Delivery) -> bool:
        """Whether the signature fits one of the keys."""
        match = _SIGNATURE.fullmatch(delivery.headers.get("x-anet-signature", "").strip())
        if not match:
            return False
        given = match[1].lower().encode()
        expected = [hmac.digest(secret, delivery.body, "sha512").hex().encode() for secret in self._secrets]
        return any(hmac.compare_digest(e, given) for e in expected)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one notification of the delivery; its identity is its notificationId, also when it is retried."""
        try:
            notification = _Notification(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        used = notification.type in self.used_events and not notification.is_test
        return [Message(notification.id, notification.type, delivery.body, "used" if used else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in a notification, or in what was polled."""
        reading = Reading(self.name, self.settings.currency, event.received_at)
        try:
            if event.type in (ROW, DETAILS):
                return reading.facts(event)
            return self._told(_Notification(event.body))
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    @property
    def askable(self) -> bool:
        """Whether there are keys for the API, and polling is not switched off."""
        return self.settings.api_login_id is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:  # noqa: ARG002
        """What is behind a notification: only the details tell what a refund belongs to and what a void voids."""
        if event.type == ROW:
            return []
        if event.type == DETAILS:
            return list(questions_of(details(event.body)))
        notification = _Notification(event.body)
        about = {_REFUND: "refund", _VOID: "payment"}.get(notification.type)
        return [f"{about}:{notification.trans_id}"] if about else []

    def poller(self) -> "AuthorizeNetPoller":
        """The reporting API."""
        from sources.authorizenet_api import AuthorizeNetPoller
        from sources.http_client import system_clock

        return AuthorizeNetPoller(self.name, self.settings, self.used_events, system_clock)

    def _told(self, notification: "_Notification") -> list[Fact]:
        if notification.type not in self.used_events:
            raise NotUnderstood("not a type of event that is used")
        if notification.type == _REFUND:
            return [self._refund(notification)]
        if notification.type == _VOID:
            # A void that was not approved changed nothing.
            return [self._void(notification)] if notification.response == _APPROVED else []
        return [self._payment(notification)]

    def _refund(self, notification: "_Notification") -> RefundFact:
        status = _REFUND_STATUS.get(notification.response)
        if status is None:
            raise NotUnderstood("responseCode is not known")
        if status == "succeeded" and self.askable:
            status = "pending"  # approved is not settled, and how it settles can be asked
        amount = self._amount(notification)
        if amount is None:
            raise NotUnderstood("authAmount is missing")
        reference = reference_of(notification.payload)
        return RefundFact(
            self.name,
            notification.trans_id,
            "refund",
            status,
            amount,
            self.settings.currency,
            at=notification.at,
            as_of=notification.at,
            payment_ids=(reference,) if reference else (),
            order_refs=order_refs(notification.payload),
        )

    def _void(self, notification: "_Notification") -> RefundFact:
        """The id is that of what was voided, a payment or a refund: which, other facts of the same id tell."""
        return RefundFact(
            self.name,
            notification.trans_id,
            "void",
            "succeeded",
            self._amount(notification) or 0,
            self.settings.currency,
            at=notification.at,
            as_of=notification.at,
            payment_ids=(notification.trans_id,),
            order_refs=order_refs(notification.payload),
        )

    def _payment(self, notification: "_Notification") -> PaymentFact:
        amount = self._amount(notification)
        only_authorised = notification.type == _AUTHORIZATION
        captured = 0 if only_authorised or notification.response in ("2", "3") else None
        return PaymentFact(
            self.name,
            (notification.trans_id,),
            notification.at,
            self.settings.currency,
            authorised=amount if only_authorised else None,
            captured=amount if captured is None and notification.response == _APPROVED else captured,
            order_refs=order_refs(notification.payload),
        )

    def _amount(self, notification: "_Notification") -> int | None:
        told = notification.payload.get("authAmount")
        return None if told is None else Reading(self.name, self.settings.currency, notification.at).amount(told)


class _Notification:
    """What every notification has. What only some need is read when it is asked for."""

    def __init__(self, body: bytes) -> None:
        self._fields = json_object(body)
        self.id = identifier(self._fields.get("notificationId"), "notificationId")
        self.type = identifier(self._fields.get("eventType"), "eventType")

    @property
    def is_test(self) -> bool:
        """Whether the transaction is one of test mode: all of those have the id 0."""
        payload = self._fields.get("payload")
        return isinstance(payload, dict) and payload.get("id") in ("0", 0)

    @property
    def payload(self) -> JsonObject:
        """The transaction."""
        return as_object(self._fields.get("payload"), "payload")

    @property
    def trans_id(self) -> str:
        """Of a refund its own, of a void that of what was voided."""
        return identifier(self.payload.get("id"), "id of the transaction")

    @property
    def response(self) -> str:
        """The responseCode: 1 approved, 2 declined, 3 error, 4 held for review."""
        return identifier(self.payload.get("responseCode"), "responseCode")

    @property
    def at(self) -> Instant:
        """When it happened; without a zone it is UTC."""
        return from_rfc3339(self._fields.get("eventDate"))
