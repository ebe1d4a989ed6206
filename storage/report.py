"""The finance report out of the entries: added up by the database, and not read into memory."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from ledger.report import ReportLine, Sums, add_up
from storage.rows import items_within
from storage.schema import entries

_BY = (entries.c.store, entries.c.source, entries.c.unconfigured)


async def report_lines(conn: AsyncConnection, since: Instant, until: Instant) -> tuple[ReportLine, ...]:
    """What was recorded, returned and opened from `since` on and before `until`. Reads every entry opened by then."""
    recorded = await conn.execute(_recorded(since, until))
    parts = [_line(row, Sums(recorded=int(row[4]), recorded_without_amount=int(row[5]))) for row in recorded]
    returned = await conn.execute(_returned(since, until))
    # A gateway refund counts with its own gateway, also where an entry has refunds of several.
    parts += [ReportLine(store, source, currency, Sums(returned=int(a))) for store, source, currency, a in returned]
    opened = await conn.execute(_exceptions(since, until))
    parts += [_line(row, Sums(exceptions=row[4], exceptions_amount=int(row[5]))) for row in opened]
    return add_up(parts)


def _recorded(since: Instant, until: Instant) -> Select[Any]:
    member = items_within(entries.c.body, "storefront_refunds")
    amount = cast(_of(member, "amount"), BigInteger)
    currency = _of(member, "currency")
    sums = func.coalesce(func.sum(amount), 0), func.sum(case((amount.is_(None), 1), else_=0))
    query = select(*_BY, currency, *sums).select_from(entries).join(member.table, true())
    return query.where(*_at(member, since, until)).group_by(*_BY, currency)


def _returned(since: Instant, until: Instant) -> Select[Any]:
    member = items_within(entries.c.body, "gateway_refunds")
    by = entries.c.store, _of(member, "source"), _of(member, "currency")
    query = select(*by, func.sum(cast(_of(member, "amount"), BigInteger))).select_from(entries)
    query = query.join(member.table, true()).where(*_at(member, since, until), _of(member, "status") == "succeeded")
    return query.group_by(*by)


def _exceptions(since: Instant, until: Instant) -> Select[Any]:
    opened = entries.c.opened_at
    sums = func.count(), func.coalesce(func.sum(entries.c.at_stake), 0)
    query = select(*_BY, entries.c.currency, *sums).where(entries.c.status == "unmatched")
    return query.where(opened >= since, opened < until).group_by(*_BY, entries.c.currency)


def _at(member: ColumnElement[Any], since: Instant, until: Instant) -> tuple[ColumnElement[bool], ...]:
    """The member's own time. The entries of other months are left out before their members are looked at."""
    at = cast(_of(member, "at"), BigInteger)
    near = entries.c.last_at.is_(None) | (entries.c.last_at >= since)
    return entries.c.opened_at < until, near, at >= since, at < until


def _of(member: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return member.op("->>")(literal_column(f"'{name}'"))


def _line(row: Any, sums: Sums) -> ReportLine:  # noqa: ANN401 - a row
    store, source, unconfigured, currency = row[:4]
    # An entry's source is its gateway, or the store where no gateway refund is known.
    gateway = unconfigured or (source if source not in (store, "") else None)
    return ReportLine(store, gateway, currency, sums)
