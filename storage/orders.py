"""Orders as last known: for suggesting which order an unknown refund may belong to."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import order_ref
from ledger.instants import Instant
from storage.rows import insert_rows
from storage.schema import orders


class KnownOrder(NamedTuple):
    """An order's facts folded."""

    store: str
    order_id: str
    currency: str
    total: int
    placed_at: Instant
    """When it was placed, or first seen where that is not known."""
    payment_status: str | None
    cancelled: bool


# Most events change nothing of it: then no page of the table and of its indexes is written.
_CHANGED = """
ON CONFLICT (ref) DO UPDATE SET currency = excluded.currency, total = excluded.total, placed_at = excluded.placed_at,
    payment_status = excluded.payment_status, cancelled = excluded.cancelled
WHERE (orders.currency, orders.total, orders.placed_at, coalesce(orders.payment_status, ''), orders.cancelled) <>
    (excluded.currency, excluded.total, excluded.placed_at, coalesce(excluded.payment_status, ''), excluded.cancelled)
"""


async def write_orders(conn: AsyncConnection, known: Sequence[KnownOrder]) -> None:
    """Remember these orders instead of what was known of them."""
    rows = {order_ref(order.store, order.order_id): order for order in known}
    await insert_rows(conn, orders, ("ref", *KnownOrder._fields), [(r, *row) for r, row in rows.items()], _CHANGED)


async def candidate_orders(
    conn: AsyncConnection, currency: str, amount: int, at: Instant, limit: int
) -> list[KnownOrder]:
    """Orders that a refund of this amount may belong to: first those of just this total, then those of a larger one.

    Each nearest in time first, out of the 50 orders before and after; never a search through all orders.
    """
    exact = await _nearest(conn, (orders.c.currency == currency) & (orders.c.total == amount), at, limit)
    around = await _nearest(conn, orders.c.currency == currency, at, 50)
    larger = [order for order in around if order.total > amount]
    return [*exact, *larger][:limit]


async def _nearest(conn: AsyncConnection, condition: ColumnElement[bool], at: Instant, limit: int) -> list[KnownOrder]:
    chosen = select(*(orders.c[name] for name in KnownOrder._fields)).where(condition).limit(limit)
    before = chosen.where(orders.c.placed_at <= at).order_by(orders.c.placed_at.desc())
    after = chosen.where(orders.c.placed_at > at).order_by(orders.c.placed_at)
    found = [KnownOrder(*row) for query in (before, after) for row in (await conn.execute(query))]
    return sorted(found, key=lambda order: abs(order.placed_at - at))[:limit]
