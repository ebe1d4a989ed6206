"""Mollie, as a gateway.

Next-generation webhooks are signed: `X-Mollie-Signature` is `sha256=` and the hexadecimal HMAC-SHA256 of the raw body
under the secret of the webhook (as SignatureValidator of mollie-api-php checks it). What they carry is an event with
the entity inside, an event with the entity's id alone, or the entity itself.

Classic webhooks are a form with the id of a payment, `id=tr_…`, and prove nothing: anybody can send one. It is a hint
to ask Mollie, and never says anything itself; only so many an hour are kept.

Entities do not tell when they changed. The states of a refund follow each other in one direction only, so all of them
count from when it was made, and the later state wins whatever came last.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.values import ApiBase, Duration, PollInterval, Secret, lines, without_path
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import SECOND, Instant, from_rfc3339
from sources.amounts import major_units
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, canonical, content_hash, identifier, json_object, texts

if TYPE_CHECKING:
    from sources.mollie_api import MolliePoller

STATE = "api."
"""Begins the type of what was polled: `api.refund`, `api.chargeback`, `api.payment`."""

ID = re.compile(r"(re|chb|tr)_[A-Za-z0-9]{1,64}", re.ASCII)
"""An id that can be asked about."""

_CLASSIC = "classic"
_HINT = re.compile(rb"id=([a-z]{2,8}_[A-Za-z0-9.]{1,64})", re.ASCII)
HINTS_PER_HOUR = 100
"""Classic webhooks that are kept; what is beyond them is found when the lists are asked for."""
_SAME_HINT = 600 * SECOND
_SIGNATURES_MAX = 8

_REFUND_STATUS: dict[str, RefundStatus] = {
    "queued": "pending",
    "pending": "pending",
    "processing": "pending",
    "refunded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
_PAYMENT_STATES = ("open", "pending", "authorized", "paid", "canceled", "expired", "failed")


class MollieSettings(GatewaySettings):
    """The keys of a Mollie source."""

    kind: Literal["mollie"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = ()
    """Of next-generation webhooks."""
    api_key: Secret | None = None
    classic_webhooks: bool = True
    """Whether classic webhooks are taken as hints to ask, where there is an api_key."""
    livemode: bool = True
    """What is of the other mode is ignored."""
    order_keys: tuple[str, ...] = ("order_id", "order_number")
    """Where the order's number stands: keys of the metadata, or "description"."""
    api_base: Annotated[ApiBase, without_path("/v2")] = Field("https://api.mollie.com", repr=False)
    poll_interval: PollInterval = "15m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(2, ge=1, le=100)

    @model_validator(mode="after")
    def _of_use(self) -> "MollieSettings":
        if not self.webhook_secrets and self.api_key is None:
            raise ValueError("neither webhook_secrets nor api_key: add the secret of a webhook, a key to ask, or both")
        if not self.webhook_secrets and self.poll_interval is None:
            raise ValueError(
                'poll_interval is "off" without webhook_secrets: give an interval, as "15m", or add a secret'
            )
        key = "live_" if self.api_key is None else self.api_key.get_secret_value()
        if not key.startswith(("live_", "test_")):
            raise ValueError("api_key does not begin with live_ or test_: take one from Developers > API keys")
        if self.api_key is not None and key.startswith("live_") != self.livemode:
            raise ValueError("api_key is of the other mode than livemode says: mend one of the two")
        return self


class Mollie(Source[MollieSettings]):
    """A profile at Mollie."""

    kind = "mollie"
    role = "gateway"
    settings_model = MollieSettings
    used_events = (
        "refund.queued",
        "refund.pending",
        "refund.processing",
        "refund.refunded",
        "refund.failed",
        "refund.canceled",
        "chargeback.received",
        "chargeback.reversed",
        "payment.authorized",
        "payment.paid",
        "payment.canceled",
        "payment.expired",
    )
    kept_headers = ("x-mollie-signature",)
    payment_id_form = r"tr_[A-Za-z0-9]+"

    def __init__(self, name: str, settings: MollieSettings) -> None:
        super().__init__(name, settings)
        self._secrets = [secret.get_secret_value().encode() for secret in settings.webhook_secrets]
        self._hints = HINTS_PER_HOUR
        self._hints_since: Instant = 0

    def authentic(self, delivery: Delivery) -> bool:
        """Whether a signature fits one of the secrets; or it is a classic webhook, which nobody has to believe."""
        told = delivery.headers.get("x-mollie-signature")
        if told is None:
            return self.settings.classic_webhooks and self.askable and bool(_HINT.fullmatch(delivery.body))
        parts = told.split(",", _SIGNATURES_MAX)[:_SIGNATURES_MAX]
        given = [part.strip().removeprefix("sha256=").encode("latin-1", "replace") for part in parts]
        expected = [hmac.digest(secret, delivery.body, "sha256").hex().encode() for secret in self._secrets]
        return any(hmac.compare_digest(e, g) for e in expected for g in given)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event, entity or hint of the delivery."""
        if hint := _HINT.fullmatch(delivery.body):
            return [self._hint(hint[1].decode(), delivery)]
        try:
            told = _Told(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        if told.live not in (None, self.settings.livemode):
            return [Message(told.key, told.type, delivery.body, "ignored")]
        if told.type in self.used_events:
            return [Message(told.key, told.type, delivery.body)]
        unknown = told.type.startswith(("refund.", "chargeback."))
        return [Message(told.key, told.type, delivery.body, "malformed" if unknown else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in an entity, wherever it came from. A hint has none."""
        if event.type == _CLASSIC:
            return []
        try:
            if event.type.startswith(STATE):
                return self._read(event.type.removeprefix(STATE), json_object(event.body), event.received_at)
            told = _Told(event.body)
            if told.type not in self.used_events:
                raise NotUnderstood("not a type of event that is used")
            if told.entity is not None:
                return self._read(told.type.partition(".")[0], told.entity, event.received_at)
            if self.askable:
                return []  # what it is about is asked for
            raise NotUnderstood("the event does not carry what it is about: choose the full payload")
        except ValueError as error:
            raise NotUnderstood(str(error)) from None

    @property
    def askable(self) -> bool:
        """Whether there is a key for the API, and polling is not switched off."""
        return self.settings.api_key is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:
        """What a hint or an event is about; of a refund how it ends, and its payment, as of a chargeback."""
        if event.type == _CLASSIC:
            hint = _HINT.fullmatch(event.body)
            return _asking("payment", hint[1].decode()) if hint else []
        if not event.type.startswith(STATE):
            told = _Told(event.body)
            if told.entity is None:
                return _asking(told.type.partition(".")[0], told.entity_id)
        about: list[str] = []
        for fact in facts:
            if isinstance(fact, RefundFact) and fact.status in ("pending", "succeeded"):
                about += _asking("refund", fact.id)
            if isinstance(fact, RefundFact | DisputeFact):
                about += _asking("payment", fact.payment_ids[0])
        return list(dict.fromkeys(about))

    def poller(self) -> "MolliePoller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.mollie_api import MolliePoller

        return MolliePoller(self, system_clock)

    def _read(self, kind: str, entity: JsonObject, received_at: Instant) -> list[Fact]:
        if kind not in _READERS:
            raise NotUnderstood("not a kind of entity that is used")
        return _READERS[kind](_Reading(self.name, self.settings.order_keys, received_at), entity)

    def _hint(self, about: str, delivery: Delivery) -> Message:
        """A hint; of those about the same payment one in ten minutes is kept, and of all of them so many an hour."""
        if not about.startswith("tr_") or not self._room_for_hint(delivery.arrived_at):
            return Message(None, _CLASSIC, delivery.body, "ignored")
        return Message(f"{_CLASSIC}:{about}:{delivery.arrived_at // _SAME_HINT}", _CLASSIC, delivery.body)

    def _room_for_hint(self, now: Instant) -> bool:
        if now - self._hints_since >= 3600 * SECOND:
            self._hints, self._hints_since = HINTS_PER_HOUR, now
        self._hints -= 1
        return self._hints >= 0


class _Reading:
    """An entity being read. No money moved later than the entity arrived."""

    def __init__(self, source: str, order_keys: tuple[str, ...], received_at: Instant) -> None:
        self.source = source
        self.order_keys = order_keys
        self._received_at = received_at

    def refund(self, refund: JsonObject) -> list[Fact]:
        """A refund."""
        status = _REFUND_STATUS.get(str(refund.get("status")))
        if status is None:
            raise NotUnderstood("status of the refund is not known")
        amount, currency = _money(refund.get("amount"))
        made = from_rfc3339(refund.get("createdAt"))
        return [
            RefundFact(
                self.source,
                identifier(refund.get("id"), "id of the refund"),
                "refund",
                status,
                amount,
                currency,
                at=min(made, self._received_at),
                as_of=made,  # the same for all of its states, whenever each arrived
                payment_ids=(identifier(refund.get("paymentId"), "paymentId"),),
                order_refs=self._order_refs(refund),
            )
        ]

    def chargeback(self, chargeback: JsonObject) -> list[Fact]:
        """The money that it took, and gave back when it was reversed."""
        amount, currency = _money(chargeback.get("amount"))
        own = identifier(chargeback.get("id"), "id of the chargeback")
        ids = (identifier(chargeback.get("paymentId"), "paymentId"),)

        def moved(direction: Literal["withdrawn", "reinstated"], at: object) -> DisputeFact:
            moved_at = min(from_rfc3339(at), self._received_at)
            return DisputeFact(self.source, own, "", direction, amount, currency, moved_at, ids)

        facts: list[Fact] = [moved("withdrawn", chargeback.get("createdAt"))]
        if chargeback.get("reversedAt") is not None:
            facts.append(moved("reinstated", chargeback["reversedAt"]))
        return facts

    def payment(self, payment: JsonObject) -> list[Fact]:
        """What was authorised and captured. `amountRefunded` is a running total: never read."""
        status = payment.get("status")
        if status not in _PAYMENT_STATES:
            raise NotUnderstood("status of the payment is not known")
        amount, currency = _money(payment.get("amount"))
        captured = amount if status == "paid" else 0
        if payment.get("amountCaptured") is not None:
            captured, currency = _money(payment["amountCaptured"])
        return [
            PaymentFact(
                self.source,
                (identifier(payment.get("id"), "id of the payment"),),
                from_rfc3339(payment.get("createdAt")),
                currency,
                authorised=amount if status == "authorized" else None,
                captured=captured,
                voided=status in ("canceled", "expired", "failed"),
                order_refs=self._order_refs(payment),
            )
        ]

    def _order_refs(self, entity: JsonObject) -> tuple[str, ...]:
        told = entity.get("metadata")
        metadata = told if isinstance(told, dict) else {}
        values = {"description": entity.get("description")} | metadata
        return texts(values.get(key) for key in self.order_keys)


_READERS: dict[str, Callable[[_Reading, JsonObject], list[Fact]]] = {
    "refund": _Reading.refund,
    "chargeback": _Reading.chargeback,
    "payment": _Reading.payment,
}


class _Told:
    """A signed body: an event, with or without its entity, or an entity alone."""

    def __init__(self, body: bytes) -> None:
        fields = json_object(body)
        resource, own = identifier(fields.get("resource"), "resource"), identifier(fields.get("id"), "id")
        self.entity: JsonObject | None = fields
        self.entity_id: object = own
        if resource == "event":
            self.type, self.key = identifier(fields.get("type"), "type"), own
            self.entity_id = fields.get("entityId")
            embedded = fields.get("_embedded")
            entity = embedded.get("entity") if isinstance(embedded, dict) else None
            self.entity = None if entity is None else as_object(entity, "entity")
        else:
            self.type = identifier(f"{resource}.{_state(resource, fields)}", "type")
            self.key = identifier(f"{own}:{content_hash(canonical(fields))[:16]}", "key")
        mode = None if self.entity is None else self.entity.get("mode")
        self.live = None if mode is None else mode == "live"


def _state(resource: str, entity: JsonObject) -> object:
    """What a webhook about this entity would be called."""
    if resource == "chargeback":
        return "received" if entity.get("reversedAt") is None else "reversed"
    return entity.get("status")


def _asking(kind: str, own: object) -> list[str]:
    return [f"{kind}:{own}"] if isinstance(own, str) and ID.fullmatch(own) else []


def _money(value: object) -> tuple[int, str]:
    money = as_object(value, "amount")
    return major_units(money.get("value"), money.get("currency"))
