"""Infigo, as a storefront.

Infigo signs nothing: a static token is all there is. Three shapes arrive: the order-change event that our own script
sends (or a list of them), the envelope of Infigo's webhooks, and the order document of Connect: Flow. Names and types
of the fields are those of Infigo's published MegaScript types, of its Connect documents as seen in working code, and
of nopCommerce, from which Infigo descends; docs/sources/infigo.md says which is which. An order that was read from
Infigo's API (infigo_api.py) is the type `api.order`.
"""

import hmac
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from config.notices import ADDRESS
from config.values import PollInterval, Secret
from ledger.facts import Fact, OrderFact, Origin, PaymentStatus
from ledger.instants import Instant, from_rfc3339, to_rfc3339
from ledger.money import MoneyError, currency_of, from_decimal
from sources.base import Delivery, Event, Message, NotUnderstood, Source, StorefrontSettings
from sources.parsing import (
    ITEMS_MAX,
    JsonObject,
    array_items,
    as_object,
    basic_password,
    bearer,
    body_key,
    canonical,
    clean,
    content_hash,
    header_bytes,
    identifier,
    is_array,
    is_placeholder,
    json_object,
)

if TYPE_CHECKING:
    from sources.polling import Poller

T = TypeVar("T")

READ = "api.order"
"""The type of an order that was read."""

ID = re.compile(r"[A-Za-z0-9-]{1,50}", re.ASCII)
"""An id that can be asked about: of an order a number, of a job a number with a letter before it."""

CHANGED = "order.changed"
ENVELOPE = "webhook"
DOCUMENT = "flow.order"
OTHER = "other"

# The names by nopCommerce, without blanks and in lower case, and its numbers.
_PAYMENT_STATUS: dict[str, PaymentStatus] = {
    "pending": "pending",
    "10": "pending",
    "authorized": "authorized",
    "authorised": "authorized",
    "20": "authorized",
    "paid": "paid",
    "30": "paid",
    "partiallyrefunded": "partially_refunded",
    "35": "partially_refunded",
    "refunded": "refunded",
    "40": "refunded",
    "voided": "voided",
    "50": "voided",
}
_CANCELLED = {
    "pending": False,
    "10": False,
    "processing": False,
    "20": False,
    "complete": False,
    "30": False,
    "cancelled": True,
    "canceled": True,
    "40": True,
}


def _path(path: str) -> str:
    if "{id}" not in path or not re.fullmatch(r"[\w/?=&.{}-]+", path, re.ASCII) or path.startswith("/"):
        raise ValueError('write what follows api_base, with {id} where the id belongs, as "order/detail/{id}"')
    return path


Path = Annotated[str, AfterValidator(_path)]


class InfigoSettings(StorefrontSettings):
    """The keys of an Infigo source."""

    kind: Literal["infigo"]
    webhook_token: Secret = Field(description="add a long random token, and give the same to Infigo")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    """Of orders that tell none."""
    auth_mode: Literal["username", "raw"] = "username"
    """`username`: Basic with the token as user name and no password. `raw`: "Basic" and the token as it is."""
    order_path: Path = "order/detail/{id}"
    job_path: Path = "orderlineitem/get?id={id}"
    poll_interval: PollInterval = "5m"  # type: ignore[assignment]
    requests_per_second: int = Field(2, ge=1, le=100)


class Infigo(Source[InfigoSettings]):
    """One storefront of Infigo."""

    kind = "infigo"
    role = "storefront"
    settings_model = InfigoSettings
    used_events = (CHANGED, ENVELOPE, DOCUMENT)
    kept_headers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, settings: InfigoSettings) -> None:
        super().__init__(name, settings)
        self._token = settings.webhook_token.get_secret_value().encode()

    def authentic(self, delivery: Delivery) -> bool:
        """Whether the token came: as Bearer, as the password of Basic, or as X-Webhook-Token."""
        headers = delivery.headers
        given = (bearer(headers), basic_password(headers), header_bytes(headers, "x-webhook-token"))
        return any(hmac.compare_digest(self._token, token) for token in given)

    def messages(self, delivery: Delivery) -> list[Message]:
        """One message for each item of a list, or the one that the body is."""
        body = delivery.body
        try:
            items = array_items(body) if is_array(body) else [(body, json_object(body))]
        except NotUnderstood:
            return [Message(body_key(body), "", body, "malformed")]
        return [_message(raw, item) for raw, item in items]

    def interpret(self, event: Event) -> list[Fact]:
        """The order's snapshot. An envelope has none: it says which order to read."""
        item = json_object(event.body)
        if event.type == READ:
            return [self._snapshot(item, "read", None, event.received_at)]
        shape = _shape(item)
        if shape == ENVELOPE:
            return []
        if shape == DOCUMENT:
            placed = _time(item.get("OrderDateUtc"))
            return [self._snapshot(item, "document", placed, event.received_at)]
        if shape == CHANGED:
            told = _occurred_at(item)
            return [self._snapshot(_order(item), "event", told, event.received_at)]
        raise NotUnderstood("not a kind of event that is used")

    @property
    def askable(self) -> bool:
        """Whether its API is configured, and polling is not switched off."""
        return self.settings.api_base is not None and self.settings.poll_interval is not None

    def questions(self, event: Event, facts: Sequence[Fact]) -> list[str]:
        """The order or job that an envelope names; an order whose snapshot leaves the amount open or came too late."""
        if event.type == ENVELOPE:
            return _named(json_object(event.body))
        told = [] if event.type == READ else [fact for fact in facts if isinstance(fact, OrderFact)]
        return [f"order:{fact.order_id}" for fact in told if _leaves_open(fact)]

    def customer_address(self, event: Event) -> str | None:
        """See Source. The account's address, else that of the bill; a shipment may go to somebody else."""
        try:
            item = json_object(event.body)
            order = _order(item) if event.type != READ and _shape(item) == CHANGED else item
        except NotUnderstood:
            return None
        holders = (order, order.get("Customer"), order.get("BillingAddress"))
        told = [_first(h, "CustomerEmail", "Email") for h in holders if isinstance(h, dict)]
        return next((text for text in map(clean, told) if text and ADDRESS.fullmatch(text)), None)

    def poller(self) -> "Poller":
        """Its API."""
        from sources.http_client import system_clock
        from sources.infigo_api import InfigoPoller

        return InfigoPoller(self, system_clock)

    def _snapshot(self, order: JsonObject, origin: Origin, told: Instant | None, arrived_at: Instant) -> OrderFact:
        order_id = identifier(_first(order, "Id", "OrderId"), "id of the order")
        try:
            currency = self._currency(order)
            total = _amount(_first(order, "OrderTotal", "Amount"), currency)
            refunded = _amount(_first(order, "RefundedAmount"), currency)
        except MoneyError as error:
            raise NotUnderstood(str(error)) from None
        return OrderFact(
            self.name,
            order_id,
            origin,
            as_of=arrived_at if told is None else min(told, arrived_at),
            arrived_at=arrived_at,
            digest=content_hash(canonical(order)),
            currency=currency,
            total=total,
            refunded=refunded,
            payment_status=_known(order, "PaymentStatus", _PAYMENT_STATUS),
            cancelled=_known(order, "OrderStatus", _CANCELLED),
            transactions=_transactions(order),
            method=clean(_first(order, "PaymentMethodSystemName", "PaymentMethod")),
            order_refs=_order_refs(order_id, order.get("OrderGuid")),
            placed_at=_time(_first(order, "CreatedOnUtc", "OrderDateUtc")),
        )

    def _currency(self, order: JsonObject) -> str | None:
        totals = order.get("Totals")
        told = _first(order, "CustomerCurrencyCode", "Currency")
        if told is None and isinstance(totals, dict):
            told = _first(totals, "CurrencyCode")
        return self.settings.currency if told is None else currency_of(told)


def _message(raw: bytes, value: object) -> Message:
    """One item as it arrived, named and judged."""
    try:
        item = as_object(value, "the item")
        shape = _shape(item)
        if shape == CHANGED:
            identifier(_first(_order(item), "Id", "OrderId"), "id of the order")
            return Message(_identity(item), shape, raw)
    except NotUnderstood:
        return Message(body_key(raw), "", raw, "malformed")
    # Neither a document nor an envelope tells a time or an id: the same one may come again and mean something new.
    return Message(None, shape, raw, "used" if shape in (ENVELOPE, DOCUMENT) else "ignored")


def _shape(item: JsonObject) -> str:
    """Which of the three shapes it is, or an event of another name."""
    if "event" in item:
        return CHANGED if identifier(item["event"], "event") == CHANGED else OTHER
    if isinstance(item.get("webhook"), dict):
        return ENVELOPE
    if "OrderId" in item:
        return DOCUMENT
    raise NotUnderstood("none of the shapes that an Infigo message has")


def _named(envelope: JsonObject) -> list[str]:
    """What an envelope names, once each: its items are orders, or lines of orders, which are jobs."""
    items, entity = envelope.get("data"), clean(envelope["webhook"].get("entity"))
    named = []
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, dict):
            order_id = item.get("Id") if (entity or "").lower() == "order" else item.get("OrderId")
            kind, told = ("job", item.get("Id")) if order_id is None else ("order", order_id)
            text = clean(told) or ""
            named += [f"{kind}:{text}"] if ID.fullmatch(text) else []
    return list(dict.fromkeys(named))[:ITEMS_MAX]


def _leaves_open(order: OrderFact) -> bool:
    """Whether to read the order: how much was refunded is not told, or a document of its placement tells of its end."""
    if not ID.fullmatch(order.order_id):
        return False
    if order.origin == "document":
        return bool(order.cancelled) or order.payment_status in ("partially_refunded", "refunded", "voided")
    return order.payment_status == "partially_refunded" and order.refunded is None


def _identity(item: JsonObject) -> str | None:
    if item.get("id") is not None:
        return identifier(item["id"], "id")
    occurred_at = _occurred_at(item)
    if occurred_at is None:
        return None
    return f"{to_rfc3339(occurred_at)} {content_hash(canonical(item))}"


def _occurred_at(item: JsonObject) -> Instant | None:
    told = item.get("occurred_at")
    try:
        return None if told is None else from_rfc3339(told)
    except ValueError:
        raise NotUnderstood("occurred_at is not a time") from None


def _order(item: JsonObject) -> JsonObject:
    return as_object(item.get("order"), "order")


def _first(order: JsonObject, *names: str) -> object:
    """The first of these fields that is told: Infigo's shapes name the same thing differently."""
    for name in names:
        if (value := order.get(name)) not in (None, ""):
            return value
    return None


def _amount(amount: object, currency: str | None) -> int | None:
    if amount is None:
        return None
    if currency is None:
        raise NotUnderstood("the order tells no currency; set `currency` for this source")
    minor = from_decimal(amount, currency)
    if minor < 0:
        raise NotUnderstood("amount is negative")
    return minor


def _known(order: JsonObject, name: str, table: dict[str, T]) -> T | None:
    """The status by its name, else by its number; one that is not known is not told."""
    for value in (order.get(name), order.get(f"{name}Id")):
        text = "".join((clean(value) or "").lower().split())
        if text in table:
            return table[text]
    return None


def _transactions(order: JsonObject) -> tuple[str, ...]:
    """The gateway's ids. Authorize.net's are stored as "id,authorisation code": both readings are kept."""
    captured = _first(order, "CaptureTransactionId", "PaymentTransactionId")
    found: list[str] = []
    for text in map(clean, (captured, order.get("AuthorizationTransactionId"))):
        if text:
            found += [part for part in (text.split(",", 1)[0].strip(), text) if not is_placeholder(part)]
    return tuple(dict.fromkeys(found))


def _order_refs(order_id: str, guid: object) -> tuple[str, ...]:
    """What a gateway may carry for the order: Authorize.net has room for the first 20 characters of the GUID."""
    text = clean(guid)
    return (order_id, text[:20]) if text and text.strip("0-") else (order_id,)


def _time(value: object) -> Instant | None:
    try:
        return from_rfc3339(value)
    except ValueError:
        return None
