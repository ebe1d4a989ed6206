"""Orders that a gateway refund without an order may belong to. Shown to people; decides nothing."""

from collections.abc import Iterable

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import Entry, Suggestion
from ledger.instants import DAY, SECOND, Instant
from ledger.money import to_decimal
from storage.orders import KnownOrder, candidate_orders

SUGGESTIONS_MAX = 5

_UNITS = ((DAY, "day"), (3_600 * SECOND, "hour"), (60 * SECOND, "minute"))


async def with_suggestions(conn: AsyncConnection, entries: Iterable[Entry]) -> list[Entry]:
    """The entries; those that wait for an order to be found with the orders nearest to them, and why each."""
    return [replace(e, suggestions=await _suggestions(conn, e)) if _is_asked_for(e) else e for e in entries]


def _is_asked_for(entry: Entry) -> bool:
    # One with candidates already has those that carry its reference, which is more than a guess.
    return entry.is_open and entry.order_id is None and not entry.suggestions


async def _suggestions(conn: AsyncConnection, entry: Entry) -> tuple[Suggestion, ...]:
    amount = sum(refund.amount for refund in entry.gateway_refunds)
    found = await candidate_orders(conn, entry.currency, amount, entry.opened_at, SUGGESTIONS_MAX)
    return tuple(Suggestion(order.store, order.order_id, _why(order, amount, entry.opened_at)) for order in found)


def _why(order: KnownOrder, amount: int, at: Instant) -> str:
    total = f"{to_decimal(order.total, order.currency)} {order.currency}"
    likeness = f"the same total, {total}" if order.total == amount else f"a larger total, {total}"
    return f"has {likeness}, and was placed {_distance(order.placed_at - at)} the refund"


def _distance(microseconds: int) -> str:
    side = "after" if microseconds > 0 else "before"
    for length, unit in _UNITS:
        if count := abs(microseconds) // length:
            return f"{count} {unit}{'s' if count > 1 else ''} {side}"
    return f"within a minute {side}"
