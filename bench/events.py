"""What a shop and its gateway send: orders, their payments, their refunds. Every event is another, none is malformed.

Ids are made as Stripe makes them: those of a payment, and of all that happens to it, begin with the time at which the
payment was made, as a number to the base 62, and end in what looks random. (Seen in the examples of its documentation:
pi_3MtwBwLkdIwHu7ix28a3tqPa was created 1,709,965 seconds after ch_3MmlLrLkdIwHu7ix0snN0B15, and MtwBw - MmlLr is
that.) Those of the storefront's events are as our script makes them (deploy/infigo): the number of the order, and when.
"""

import json
import string
from collections.abc import Iterator
from random import Random
from typing import Any

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from storage.database import NewEvent

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

STRIPE, SHOP = "stripe", "shop"
PER_ORDER = 5
PER_REFUND = 3

TOTAL = 12_000
REFUNDED = 1_500
"""Minor units of GBP."""


def order_events(number: int, now: Instant) -> list[NewEvent]:
    """The events of one order in their order: paid, told by the shop, refunded (told twice), recorded.

    Of 20 orders, 18 agree; one was recorded over another amount, and of one the refund was never recorded. Orders are
    placed one after the other, the first 85 days before `now`; up to the 250,000th all of it is so old that no grace
    period runs.
    """
    placed = _placed(number, now)
    paid = _told(number, placed, placed, "charge.succeeded", _CHARGE)
    snapshot = _order(number, placed, placed + MINUTE, "Paid", 0)
    return [paid, snapshot, *refund_events(number, 1, placed + 5 * DAY, now)]


def refund_events(number: int, nth: int, made: Instant, now: Instant) -> list[NewEvent]:
    """A refund of the order, made at this time, its nth."""
    recorded = {0: None, 10: nth * REFUNDED + 100}.get(number % 20, nth * REFUNDED)
    status = "Paid" if recorded is None else "PartiallyRefunded"
    placed = _placed(number, now)
    return [
        _told(number, placed, made, "refund.created", _REFUND, nth),
        _told(number, placed, made + 10 * SECOND, "refund.updated", _REFUND, nth),
        _order(number, placed, made + number % 20 * HOUR, status, recorded or 0),
    ]


def all_events(orders: range, now: Instant) -> list[NewEvent]:
    """The events of these orders, order by order."""
    return [event for number in orders for event in order_events(number, now)]


def in_disorder(orders: range, now: Instant) -> list[NewEvent]:
    """The same, shuffled: nearly every event meets its order alone, in a batch of its own."""
    events = all_events(orders, now)
    Random(1).shuffle(events)
    return events


def as_they_happen(orders: range, now: Instant) -> list[NewEvent]:
    """The same in the order of time, but each up to a minute late: what happens together arrives nearly together."""
    late = Random(1)
    return sorted(all_events(orders, now), key=lambda event: event.received_at + late.randrange(MINUTE))


def charges(first: int, count: int, now: Instant) -> Iterator[NewEvent]:
    """So many payments, each of another order."""
    return (
        _told(number, _placed(number, now), now, "charge.succeeded", _CHARGE) for number in range(first, first + count)
    )


def _told(number: int, placed: Instant, at: Instant, kind: str, template: str, nth: int = 0) -> NewEvent:
    name = _name(number, placed)
    key = f"evt_{name}{nth:02d}{_KINDS[kind]}"
    values = {"event": key, "kind": kind, "at": at // SECOND, "order": number, "nth": nth, "name": name}
    return NewEvent(STRIPE, key, kind, "webhook", at + SECOND, {}, (template % values).encode())


def _order(number: int, placed: Instant, at: Instant, status: str, refunded: int) -> NewEvent:
    guid = f"{_spread(number):016x}"
    key = f"infigo-{number}-{at // 1000}"
    values = {"key": key, "at": to_rfc3339(at), "order": number, "placed": to_rfc3339(placed), "status": status,
              "guid": guid, "name": _name(number, placed),
              "pounds": refunded // 100, "pence": refunded % 100}  # fmt: skip
    return NewEvent(SHOP, key, "order.changed", "webhook", at + SECOND, {}, (_ORDER % values).encode())


def _placed(number: int, now: Instant) -> Instant:
    return now - 85 * DAY + number * 25 * SECOND


def _name(number: int, placed: Instant) -> str:
    """What the ids of the payment have in common."""
    seconds, digits = placed // SECOND - _FIRST_ID, ""
    for _ in range(5):
        seconds, digit = divmod(seconds, 62)
        digits = _BASE_62[digit] + digits
    return f"3{digits}{_spread(number):016x}"


def _spread(number: int) -> int:
    return number * 0x9E37_79B9_7F4A_7C15 % 2**64


_FIRST_ID = 1_342_389_380
"""The time of the id 00000, reckoned from those examples."""

_BASE_62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_KINDS = {"charge.succeeded": "a", "refund.created": "b", "refund.updated": "c"}


def _template(told: dict[str, Any]) -> str:
    """Pretty-printed, as Stripe sends it; "#x" stands for a whole number."""
    text = json.dumps(told, indent=2)
    for name in ("at", "order"):
        text = text.replace(f'"#{name}"', f"%({name})d")
    return text


def _event(snapshot: dict[str, Any]) -> str:
    return _template(
        {
            "id": "%(event)s",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": "#at",
            "data": {"object": snapshot},
            "livemode": True,
            "pending_webhooks": 1,
            "request": {"id": "req_%(name)s", "idempotency_key": None},
            "type": "%(kind)s",
        }
    )


_CHARGE = _event(
    {
        "id": "ch_%(name)s",
        "object": "charge",
        "amount": TOTAL,
        "amount_captured": TOTAL,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": "txn_%(name)s",
        "billing_details": {
            "address": {
                "city": None,
                "country": "GB",
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "PRINT SHOP",
        "captured": True,
        "created": "#at",
        "currency": "gbp",
        "customer": None,
        "description": "Order %(order)d",
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "metadata": {"order_id": "%(order)d", "store": "shop"},
        "on_behalf_of": None,
        "outcome": {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": "pi_%(name)s",
        "payment_method": "pm_%(name)s",
        "payment_method_details": {
            "card": {
                "amount_authorized": TOTAL,
                "brand": "visa",
                "country": "GB",
                "funding": "credit",
                "network": "visa",
                "three_d_secure": None,
                "wallet": None,
            },
            "type": "card",
        },
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": "https://pay.example.com/receipts/%(name)s",
        "refunded": False,
        "review": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "shipping": None,
        "status": "succeeded",
    }
)

_REFUND = _event(
    {
        "id": "re_%(name)s%(nth)02d",
        "object": "refund",
        "amount": REFUNDED,
        "balance_transaction": "txn_%(name)s",
        "charge": "ch_%(name)s",
        "created": "#at",
        "currency": "gbp",
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": "pi_%(name)s",
        "payment_method": "pm_%(name)s",
        "reason": "requested_by_customer",
        "receipt_number": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
)

_ORDER = (
    '{"event":"order.changed","id":"%(key)s","occurred_at":"%(at)s","order":{"Id":%(order)d,'
    '"OrderGuid":"%(guid)s-4000-8000-000000000000","OrderStatus":"Complete","PaymentStatus":"%(status)s",'
    f'"OrderTotal":{TOTAL // 100}.00,"RefundedAmount":%(pounds)d.%(pence)02d,"CustomerCurrencyCode":"GBP",'
    '"PaymentMethodSystemName":"Payments.Stripe","CaptureTransactionId":"pi_%(name)s",'
    '"AuthorizationTransactionId":null,"CreatedOnUtc":"%(placed)s"}}'
)
