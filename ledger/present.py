"""An entry as the contract shows it: decimal strings in major units, RFC 3339 times, null where unknown."""

from typing import Any

from ledger.entries import Entry
from ledger.instants import SECOND, Instant, to_rfc3339
from ledger.money import to_decimal


def entry_json(entry: Entry) -> dict[str, Any]:
    """The JSON object of an entry. A side without members is null."""
    return {
        "id": entry.id,
        "store": entry.store,
        "order_id": entry.order_id,
        "status": entry.status,
        "reason": entry.reason,
        "verified": entry.verified,
        "currency": entry.currency or None,
        "gateway_amount": amount(entry.gateway_amount, entry.currency),
        "storefront_amount": amount(entry.storefront_amount, entry.storefront_currency),
        "difference": amount(entry.difference, entry.currency),
        "expected_amount": amount(entry.expected_amount, entry.currency),
        "gateway_refunds": [
            {
                "source": r.source,
                "id": r.id,
                "kind": r.kind,
                "status": r.status,
                "amount": amount(r.amount, r.currency),
                "currency": r.currency,
                "at": to_rfc3339(r.at),
            }
            for r in entry.gateway_refunds
        ]
        or None,
        "storefront_refunds": [
            {"id": r.id, "amount": amount(r.amount, r.currency), "currency": r.currency or None, "at": to_rfc3339(r.at)}
            for r in entry.storefront_refunds
        ]
        or None,
        "opened_at": to_rfc3339(entry.opened_at),
        "matched_at": time(entry.matched_at),
        "lag_seconds": None if entry.lag is None else entry.lag // SECOND,
        "due_at": time(entry.due_at),
        "explanation": entry.explanation,
        "suggestions": [{"store": s.store, "order_id": s.order_id, "reason": s.reason} for s in entry.suggestions],
        "resolution": entry.resolution
        and {"by": entry.resolution.actor, "reason": entry.resolution.reason, "at": to_rfc3339(entry.resolution.at)},
        "assigned_to": entry.assigned_to,
        "snoozed_until": time(entry.snoozed_until),
        "unconfigured": entry.unconfigured,
    }


def amount(minor: int | None, currency: str) -> str | None:
    """As "12.50"; None stays None."""
    return None if minor is None else to_decimal(minor, currency)


def time(instant: Instant | None) -> str | None:
    """As "2026-11-20T10:00:00Z"; None stays None."""
    return None if instant is None else to_rfc3339(instant)
