"""Stripe, as a gateway.

Signatures: `t=<unix>,v1=<hex>,…` where each v1 is HMAC-SHA256 of "<t>.<raw body>" with the whole `whsec_…` text as key
(docs.stripe.com/webhooks#verify-manually; proven in the tests by agreement with the `stripe` package, which is never
loaded here). Events of connected accounts carry `account`; their refund and event ids are unique across accounts, so
they are taken like any other. What is polled (stripe_api.py) is read here as well: `api.refund` is a refund as it was
at that moment.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec.structs import replace
from pydantic import BeforeValidator, Field

from config.values import ApiBase, Duration, PollInterval, Secret, lines, without_path
from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import DAY, SECOND, Instant, from_unix
from ledger.money import currency_of, from_minor
from sources.base import Delivery, Event, GatewaySettings, Message, NotUnderstood, Source
from sources.parsing import JsonObject, as_object, body_key, clean, identifier, json_object
from sources.polling import thinning_out

if TYPE_CHECKING:
    from sources.polling import Poller

TOLERANCE = 300 * SECOND

# docs.stripe.com/currencies: counted without decimals (MGA has two by ISO 4217), and with three. Everything else has
# two, also ISK and UGX, which have none by ISO 4217.
_DECIMALS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)

_STATUS: dict[str, RefundStatus] = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}

CAN_FAIL_FOR = 90 * DAY
"""So long after it was made a refund is asked about: Stripe names no end, and banks return one after weeks."""

STATE = "api."
"""Begins the type of what was polled: `api.refund`, `api.charge`, `api.payment_intent`, `api.dispute`."""

ID = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)
"""An id that can be asked about."""

SNAPSHOTS = (
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.refund.updated",
    "charge.captured",
    "charge.succeeded",
    "charge.expired",
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)


class StripeSettings(GatewaySettings):
    """The keys of a Stripe source."""

    kind: Literal["stripe"]
    webhook_secrets: Annotated[tuple[Secret, ...], BeforeValidator(lines)] = Field(
        min_length=1, description="add the signing secret of your webhook endpoint (whsec_…)"
    )
    api_key: Secret | None = None
    api_base: Annotated[ApiBase, without_path("/v1")] = Field("https://api.stripe.com", repr=False)
    accounts: tuple[Annotated[str, Field(pattern=r"^acct_[A-Za-z0-9]{1,60}$")], ...] = ()
    """Connected accounts that are polled as well."""
    livemode: bool = True
    order_keys: tuple[str, ...] = ("order_id", "order_number")
    """Keys of the metadata that hold the order's number."""
    poll_interval: PollInterval = "5m"  # type: ignore[assignment]
    poll_since: Duration = "30d"  # type: ignore[assignment]
    requests_per_second: int = Field(10, ge=1, le=100)


class Stripe(Source[StripeSettings]):
    """An account, or all connected accounts, of Stripe."""

    kind = "stripe"
    role = "gateway"
    settings_model = StripeSettings
    used_events = (*SNAPSHOTS, *(f"v1.{name}" for name in SNAPSHOTS))
    kept_headers = ("stripe-signature",)
    payment_id_form = r"(pi|ch|py)_[A-Za-z0-9_]+"

    def __init__(self, name: str, settings: StripeSettings) -> None:
        super().__init__(name, settings)
        self._secrets = [secret.get_secret_value().encode() for secret in settings.webhook_secrets]

    def authentic(self, delivery: Delivery) -> bool:
        """Whether a v1 signature fits one of the secrets, at most 300 seconds from now in either direction."""
        timestamp, signatures = _signature_header(delivery.headers.get("stripe-signature", ""))
        if not re.fullmatch(r"[0-9]{1,12}", timestamp, re.ASCII):
            return False
        if abs(delivery.arrived_at - int(timestamp) * SECOND) > TOLERANCE:
            return False
        signed = b"%s.%s" % (timestamp.encode(), delivery.body)
        expected = [hmac.digest(secret, signed, "sha256").hex().encode() for secret in self._secrets]
        # Every secret against every signature: what fits shows in no difference of time.
        return any(hmac.compare_digest(e, s) for e in expected for s in signatures)

    def messages(self, delivery: Delivery) -> list[Message]:
        """The one event of the delivery; its identity is Stripe's event id."""
        try:
            event = _Envelope(delivery.body)
        except NotUnderstood:
            return [Message(body_key(delivery.body), "", delivery.body, "malformed")]
        used = event.type in self.used_events and event.livemode is self.settings.livemode
        return [Message(event.id, event.type, delivery.body, "used" if used else "ignored")]

    def interpret(self, event: Event) -> list[Fact]:
        """The facts in the event's snapshot, or in the state of something that was polled.

        A thin event (`v1.…`) has none: it says what to fetch.
        """
        if event.type.startswith(STATE):
            # Events tell whole seconds: what was read in the second of one must not outrank it.
            return self._read(event.type, json_object(event.body), event.received_at // SECOND * SECOND)
        envelope = _Envelope(event.body)
        if envelope.type.startswith("v1."):
            return []
        snapshot = as_object(as_object(envelope.fields.get("data"), "data").get("object"), "data.object")
        return self._read(envelope.type, snapshot, envelope.created)

    @property
    def askable(self) -> bool:
        """Whether there is a key for the API, and polling is not switched off."""
        return self.settings.api_key is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:
        """What a thin event points at; and every refund, until it can no longer fail."""
        refunds = [fact for fact in facts if isinstance(fact, RefundFact) and ID.fullmatch(fact.id)]
        if event.type.startswith(STATE):
            return [f"refund:{fact.id}" for fact in refunds if asked_again(fact, event.received_at) is not None]
        if event.type.startswith("v1."):
            return _pointed_at(_Envelope(event.body).fields)
        account = _Envelope(event.body).fields.get("account") if refunds else None
        return [_question("refund", fact.id, account) for fact in refunds]

    def poller(self) -> "Poller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.stripe_api import StripePoller

        return StripePoller(self, system_clock)

    def _read(self, event_type: str, snapshot: JsonObject, as_of: Instant) -> list[Fact]:
        reader = _READERS.get(event_type)
        if not reader:
            raise NotUnderstood("not a type of event that is used")
        try:
            return reader(_Reading(self.name, self.settings.order_keys, event_type, as_of), snapshot)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None


class _Envelope:
    """What every event has, snapshot or thin."""

    def __init__(self, body: bytes) -> None:
        self.fields = json_object(body)
        self.id = identifier(self.fields.get("id"), "id")
        self.type = identifier(self.fields.get("type"), "type")
        self.livemode = self.fields.get("livemode")
        if not isinstance(self.livemode, bool):
            raise NotUnderstood("livemode is missing")

    @property
    def created(self) -> Instant:
        """When it happened; of a snapshot event. Raises NotUnderstood."""
        try:
            return from_unix(self.fields.get("created"))
        except ValueError as error:
            raise NotUnderstood(str(error)) from None


class _Reading:
    """One snapshot being read: who tells it, when, and where its order numbers are."""

    def __init__(self, source: str, order_keys: tuple[str, ...], event_type: str, as_of: Instant) -> None:
        self.source = source
        self.order_keys = order_keys
        self.event_type = event_type
        self.polled = event_type.startswith(STATE)
        self.as_of = as_of

    def refund(self, refund: JsonObject) -> list[Fact]:
        """A refund, or the release of an authorisation that expired: no money moved then."""
        ids = _ids(refund.get("charge"), refund.get("payment_intent"))
        charge = refund.get("charge")
        uncaptured = isinstance(charge, dict) and charge.get("captured") is False
        currency = currency_of(refund.get("currency"))
        refs = self._order_refs(refund, charge, refund.get("payment_intent"))
        if uncaptured or refund.get("reason") == "expired_uncaptured_charge":
            # Of a part that was captured before, the release of the rest says nothing.
            taken = 0 if uncaptured else None
            released = PaymentFact(self.source, ids, self.as_of, currency, captured=taken, voided=True, order_refs=refs)
            return [released] if ids else []
        status = refund.get("status")
        if not isinstance(status, str) or status not in _STATUS:
            raise NotUnderstood("status of the refund is not known")
        returned = RefundFact(
            self.source,
            identifier(refund.get("id"), "id of the refund"),
            "refund",
            _STATUS[status],
            _amount(refund.get("amount"), currency),
            currency,
            at=from_unix(refund.get("created")),
            as_of=self.as_of,
            payment_ids=ids,
            order_refs=refs,
        )
        # The charge that was polled with it tells what was captured, also where its own events are out of reach.
        if self.polled and isinstance(charge, dict):
            return [returned, *self.charge(charge)]
        return [returned]

    def charge(self, charge: JsonObject) -> list[Fact]:
        """The payment. A charge that was never captured and is refunded or expires, is released."""
        captured = charge.get("captured")
        if not isinstance(captured, bool):
            raise NotUnderstood("captured is missing")
        taken = charge.get("amount_captured") if captured else 0
        refunded = self.event_type == "charge.refunded" or (self.polled and charge.get("refunded") is True)
        released = self.event_type == "charge.expired" or (refunded and not captured)
        payment = self._payment(charge, charge.get("payment_intent"), taken, voided=released)
        if self.event_type == "charge.captured" and taken is not None:
            payment = replace(payment, released_rest=_released_rest(charge, payment))
        return [payment, *self._refunds_of(charge)] if captured else [payment]

    def payment_intent(self, intent: JsonObject) -> list[Fact]:
        """The payment; cancelled, what had not been captured is released."""
        canceled = intent.get("status") == "canceled" if self.polled else self.event_type == "payment_intent.canceled"
        taken = intent.get("amount_received")
        if canceled and taken is None:
            taken = 0
        return [self._payment(intent, intent.get("latest_charge"), taken, voided=canceled)]

    def dispute(self, dispute: JsonObject) -> list[Fact]:
        """Each movement of the dispute's money; an inquiry has none."""
        currency = currency_of(dispute.get("currency"))
        whole = _amount(dispute.get("amount"), currency)
        movements = dispute.get("balance_transactions") or []
        if not isinstance(movements, list):
            raise NotUnderstood("balance_transactions is not a list")
        if movements:
            facts = (self._movement(dispute, as_object(m, "movement"), currency, whole) for m in movements)
            return [fact for fact in facts if fact]
        direction = _UNNAMED_MOVEMENT.get(self.event_type)
        return [self._moved(dispute, "", direction, whole, currency, self.as_of)] if direction else []

    def _movement(self, dispute: JsonObject, moved: JsonObject, currency: str, whole: int) -> DisputeFact | None:
        own_currency = currency_of(moved.get("currency"))
        amount = from_minor(moved.get("amount"), own_currency, _decimals(own_currency))
        movement_id = identifier(moved.get("id"), "id of the movement")
        if not amount:
            return None
        direction: Direction = "withdrawn" if amount < 0 else "reinstated"
        # The movement is in the currency of the settlement; what counts is the charge's.
        amount = abs(amount) if own_currency == currency else whole
        return self._moved(dispute, movement_id, direction, amount, currency, from_unix(moved.get("created")))

    def _moved(
        self, dispute: JsonObject, movement: str, direction: "Direction", amount: int, currency: str, at: Instant
    ) -> DisputeFact:
        dispute_id = identifier(dispute.get("id"), "id of the dispute")
        ids = _ids(dispute.get("charge"), dispute.get("payment_intent"))
        return DisputeFact(self.source, dispute_id, movement, direction, amount, currency, at, ids)

    def _payment(self, payment: JsonObject, alias: object, captured: object, *, voided: bool) -> PaymentFact:
        currency = currency_of(payment.get("currency"))
        return PaymentFact(
            self.source,
            _ids(identifier(payment.get("id"), "id of the payment"), alias),
            self.as_of,
            currency,
            authorised=_amount(payment.get("amount"), currency),
            captured=None if captured is None else _amount(captured, currency),
            voided=voided,
            order_refs=self._order_refs(payment, alias),
        )

    def _refunds_of(self, charge: JsonObject) -> Iterable[Fact]:
        """Old API versions list the refunds in the charge. `amount_refunded` is a running total: never read."""
        listed = charge.get("refunds")
        refunds = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(refunds, list):
            return
        for item in refunds:
            refund = as_object(item, "refund")
            ids = {"charge": charge.get("id"), "payment_intent": charge.get("payment_intent")}
            yield from self.refund({**refund, **ids})

    def _order_refs(self, *objects: object) -> tuple[str, ...]:
        """What the metadata of a snapshot, and of what is expanded in it, says of the order."""
        found: list[str] = []
        for metadata in (o.get("metadata") for o in objects if isinstance(o, dict)):
            if isinstance(metadata, dict):
                found += [text for key in self.order_keys if (text := clean(metadata.get(key)))]
        return tuple(dict.fromkeys(found))


Direction = Literal["withdrawn", "reinstated"]
_UNNAMED_MOVEMENT: dict[str, Direction] = {
    "charge.dispute.funds_withdrawn": "withdrawn",
    "charge.dispute.funds_reinstated": "reinstated",
}


def _released_rest(charge: JsonObject, payment: PaymentFact) -> int:
    """What is told as refunded at the moment of a capture: it can only be the rest of the authorisation.

    API versions before 2025-03-31.basil make a refund of it. (Stripe's changelog: "Partially capturing or canceling
    payments no longer creates a Refund".)
    """
    rest = (payment.authorised or 0) - (payment.captured or 0)
    refunded = charge.get("amount_refunded")
    return rest if refunded and _amount(refunded, currency_of(charge.get("currency"))) == rest else 0


def _reader(event_type: str) -> Callable[[_Reading, JsonObject], list[Fact]]:
    if event_type.startswith("charge.dispute."):
        return _Reading.dispute
    if event_type.startswith("payment_intent."):
        return _Reading.payment_intent
    if event_type.startswith("refund.") or event_type == "charge.refund.updated":
        return _Reading.refund
    return _Reading.charge


_READERS = {event_type: _reader(event_type) for event_type in SNAPSHOTS} | {
    f"{STATE}refund": _Reading.refund,
    f"{STATE}charge": _Reading.charge,
    f"{STATE}payment_intent": _Reading.payment_intent,
    f"{STATE}dispute": _Reading.dispute,
}


def asked_again(refund: RefundFact, now: Instant) -> Instant | None:
    """After how long to ask about a refund again; None where nothing can change it any more."""
    age = now - refund.at
    if refund.status == "pending":
        return thinning_out(age, CAN_FAIL_FOR)
    if refund.status != "succeeded" or age >= CAN_FAIL_FOR:
        return None
    return DAY if age < 7 * DAY else 7 * DAY


def _pointed_at(thin: JsonObject) -> list[str]:
    """The object that a thin event is about. Its `context` ends in the connected account, where there is one."""
    about = thin.get("related_object")
    if not isinstance(about, dict):
        return []
    kind, thing = about.get("type"), about.get("id")
    if f"{STATE}{kind}" not in _READERS or not isinstance(thing, str) or not ID.fullmatch(thing):
        return []
    context = thin.get("context")
    return [_question(str(kind), thing, context.rpartition("/")[2] if isinstance(context, str) else None)]


def _question(kind: str, thing: str, account: object) -> str:
    of_account = isinstance(account, str) and account.startswith("acct_") and ID.fullmatch(account)
    return f"{kind}:{thing}@{account}" if of_account else f"{kind}:{thing}"


def _signature_header(header: str) -> tuple[str, list[bytes]]:
    fields = [part.partition("=")[::2] for part in header.split(",")]
    timestamp = next((value for name, value in fields if name == "t"), "")
    return timestamp, [value.encode("latin-1", "replace") for name, value in fields if name == "v1"]


def _ids(*values: object) -> tuple[str, ...]:
    """Ids that are told as such or as the object they belong to, each once."""
    told = [value.get("id") if isinstance(value, dict) else value for value in values if value is not None]
    return tuple(dict.fromkeys(identifier(value, "id of the payment") for value in told))


def _amount(amount: object, currency: str) -> int:
    minor = from_minor(amount, currency, _decimals(currency))
    if minor < 0:
        raise NotUnderstood("amount is negative")
    return minor


def _decimals(currency: str) -> int:
    return _DECIMALS.get(currency, 2)
