"""What people look at beside the entries themselves: the ledger in sums, and where an event came from."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.rows import among, packed
from storage.schema import entries, journal

UNCONFIGURED_MAX = 100
"""The names come from outside: no more of them are shown than people read."""


@dataclass(frozen=True, slots=True)
class EntrySum:
    """The entries that are alike, in sums."""

    source: str
    status: str
    reason: str
    """Empty where there is none."""
    currency: str
    count: int
    at_stake: int
    """The money that does not agree, of those where it is known."""
    oldest: Instant


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event of the journal without what it says."""

    id: int
    source: str
    type: str
    via: str
    received_at: Instant


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The recorded refunds of one payment method that no source is configured for, in one currency."""

    store: str
    method: str
    currency: str
    count: int
    amount: int
    """Of those where it is known."""


_LINES = select(journal.c.id, journal.c.source, journal.c.type, journal.c.via, journal.c.received_at)


async def sum_entries(conn: AsyncConnection) -> list[EntrySum]:
    """The whole ledger in sums. Reads every entry."""
    by = (entries.c.source, entries.c.status, entries.c.reason, entries.c.currency)
    sums = (func.count(), func.coalesce(func.sum(entries.c.at_stake), 0), func.min(entries.c.opened_at))
    rows = await conn.execute(select(*by, *sums).group_by(*by).order_by(*by))
    return [
        EntrySum(source, status, reason, currency, count, int(at_stake), oldest)
        for source, status, reason, currency, count, at_stake, oldest in rows
    ]


async def unconfigured_gateways(conn: AsyncConnection) -> list[Unconfigured]:
    """The payment methods that orders name and no source is configured for; of very many, those with most refunds."""
    by = (entries.c.store, entries.c.unconfigured, entries.c.currency)
    sums = (func.count(), func.coalesce(func.sum(entries.c.at_stake), 0))
    query = select(*by, *sums).where(entries.c.unconfigured.is_not(None)).group_by(*by)
    rows = await conn.execute(query.order_by(func.count().desc(), *by).limit(UNCONFIGURED_MAX))
    return [
        Unconfigured(store, method, currency, count, int(amount)) for store, method, currency, count, amount in rows
    ]


async def event_lines(conn: AsyncConnection, journal_ids: Iterable[int]) -> list[EventLine]:
    """These events, in the order of their arrival."""
    query = _LINES.where(among(journal.c.id, "ids")).order_by(journal.c.id)
    return [EventLine(*row) for row in await conn.execute(query, {"ids": packed(journal_ids)})]
