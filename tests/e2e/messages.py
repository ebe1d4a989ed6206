"""What Stripe and Infigo send, in one line each. Hours count from T0, and all of it lies in the past."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from ledger.money import to_decimal

HOUR = 3600
T0 = (int(time.time()) // HOUR - 20 * 24) * HOUR
"""Twenty days ago, Unix seconds: every grace period has run out, and the ledger has begun."""


def rfc3339(hours: float) -> str:
    """The time so many hours after T0, as the API writes it."""
    return datetime.fromtimestamp(T0 + round(hours * HOUR), UTC).isoformat().replace("+00:00", "Z")


def event(event_id: str, event_type: str, snapshot: dict[str, Any], hours: float, *, livemode: bool = True) -> bytes:
    """A Stripe event."""
    told = {
        "id": f"evt_{event_id}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": T0 + round(hours * HOUR),
        "data": {"object": snapshot},
        "livemode": livemode,
        "pending_webhooks": 1,
        "type": event_type,
    }
    return json.dumps(told).encode()


def refund(
    name: str, order: int, amount: int, hours: float, status: str = "succeeded", currency: str = "gbp"
) -> dict[str, Any]:
    """A Stripe refund re_… of the order's payment; `amount` as Stripe counts."""
    return {
        "object": "refund",
        "id": f"re_{name}",
        "amount": amount,
        "balance_transaction": None,
        "charge": f"ch_{order}",
        "created": T0 + round(hours * HOUR),
        "currency": currency,
        "metadata": {},
        "payment_intent": f"pi_{order}",
        "reason": "requested_by_customer",
        "status": status,
    }


def charge(order: int, captured: int, refunded: int = 0, currency: str = "gbp", **more: object) -> dict[str, Any]:
    """A captured Stripe charge; `refunded` is its running total."""
    return {
        "object": "charge",
        "id": f"ch_{order}",
        "amount": captured,
        "amount_captured": captured,
        "amount_refunded": refunded,
        "captured": True,
        "currency": currency,
        "metadata": {},
        "payment_intent": f"pi_{order}",
        "refunded": refunded == captured,
        "status": "succeeded",
        **more,
    }


def order(
    number: int,
    hours: float,
    payment: str = "Paid",
    *,
    refunded: int | None = None,
    total: int = 100_00,
    currency: str = "GBP",
    **more: object,
) -> bytes:
    """An Infigo order-change event; amounts in minor units, sent as decimals."""
    told = {
        "Id": number,
        "OrderGuid": f"{number:08d}-0000-4000-8000-000000000000",
        "OrderStatus": "Complete",
        "PaymentStatus": payment,
        "OrderTotal": f"={to_decimal(total, currency)}",
        "CustomerCurrencyCode": currency,
        "PaymentMethodSystemName": "Payments.Stripe",
        "CaptureTransactionId": f"pi_{number}",
        "CreatedOnUtc": rfc3339(0),
        **({} if refunded is None else {"RefundedAmount": f"={to_decimal(refunded, currency)}"}),
        **more,
    }
    text = json.dumps({"event": "order.changed", "occurred_at": rfc3339(hours), "order": told})
    # A number of JSON with its decimals as written, and never a float.
    return re.sub(r'"=([0-9.]+)"', r"\1", text).encode()
