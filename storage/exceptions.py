"""The entries that need a person, worst first; and what the overview draws of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import Entry, decode_entry
from ledger.instants import Instant
from storage.entries import entries_by_id, on_a_side
from storage.schema import entries

ORDERS = ("worst", "oldest", "largest")

# Where a customer waits for money or too much went out, then where the amounts differ, then where the books are wrong.
_RANKS = {
    "refund_failed": 0,
    "over_refunded": 0,
    "missing_in_gateway": 1,
    "cancelled_not_refunded": 1,
    "amount_mismatch": 2,
    "currency_mismatch": 2,
}
_RANK = case(_RANKS, value=entries.c.reason, else_=3)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of the entries; an empty text is any."""

    status: str = "unmatched"
    reason: str = ""
    source: str = ""
    """Gateway or store."""
    currency: str = ""
    assigned_to: str = ""
    snoozed: bool = False
    """Those that are put off, in place of those that are not."""
    since: Instant | None = None
    until: Instant | None = None
    """Of `opened_at`: from `since` on, before `until`."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The chosen entries of one currency."""

    currency: str
    count: int
    at_stake: int
    """The money they are about, of those where it is known."""
    oldest: Instant


async def worst_first(
    conn: AsyncConnection, chosen: Chosen, now: Instant, order: str, limit: int, offset: int
) -> list[Entry]:
    """A page of the chosen entries. `order`: one of ORDERS."""
    by: dict[str, list[ColumnElement[Any]]] = {
        "worst": [_RANK, func.coalesce(entries.c.at_stake, 0).desc()],
        "oldest": [],
        "largest": [func.coalesce(entries.c.at_stake, 0).desc()],
    }
    # Only those of the page are read; which they are, an index of small rows tells.
    query = select(entries.c.id).where(_condition(chosen, now))
    query = query.order_by(*by[order], entries.c.opened_at, entries.c.id).limit(limit).offset(offset)
    return list((await entries_by_id(conn, (await conn.execute(query)).scalars())).values())


async def sum_chosen(conn: AsyncConnection, chosen: Chosen, now: Instant) -> list[Sum]:
    """All of the chosen entries, by currency."""
    sums = (func.count(), func.coalesce(func.sum(entries.c.at_stake), 0), func.min(entries.c.opened_at))
    query = select(entries.c.currency, *sums).where(_condition(chosen, now)).group_by(entries.c.currency)
    rows = await conn.execute(query.order_by(entries.c.currency))
    return [Sum(currency, count, int(at_stake), oldest) for currency, count, at_stake, oldest in rows]


async def count_opened(conn: AsyncConnection, starts: Sequence[Instant], now: Instant) -> list[int]:
    """How many of the unmatched entries that are not put off opened from each of these times on, before the next."""
    since = [func.count(case((entries.c.opened_at >= start, 1))) for start in starts]
    counts = (await conn.execute(select(*since).where(_condition(Chosen(), now)))).one()
    return [count - later for count, later in pairwise([*counts, 0])]


async def newest_lags(conn: AsyncConnection, limit: int) -> list[Instant]:
    """How long one side waited for the other, of the matched entries that opened last."""
    query = select(entries.c.body).where(entries.c.status == "matched")
    query = query.order_by(entries.c.opened_at.desc(), entries.c.id.desc()).limit(limit)
    found = map(decode_entry, (await conn.execute(query)).scalars())
    return [entry.lag for entry in found if entry.lag is not None]


def _condition(chosen: Chosen, now: Instant) -> ColumnElement[bool]:
    put_off = entries.c.snoozed_until
    awake = or_(put_off.is_(None), put_off <= now)
    conditions = [entries.c.status == chosen.status, put_off > now if chosen.snoozed else awake]
    if chosen.reason:
        conditions.append(entries.c.reason == chosen.reason)
    if chosen.source:
        conditions.append(on_a_side(chosen.source))
    if chosen.currency:
        conditions.append(entries.c.currency == chosen.currency)
    if chosen.assigned_to:
        conditions.append(entries.c.assigned_to == chosen.assigned_to)
    if chosen.since is not None:
        conditions.append(entries.c.opened_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(entries.c.opened_at < chosen.until)
    return and_(*conditions)
