"""The finance report out of the entries: added up by the database, and not read into memory."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from ledger.report import ReportLine, Sums, add_up
from storage.rows import items_within
from storage.schema import entries

_BY = (entries.c.store, entries.c.source, entries.c.unconfigured)
_NOTHING = literal(0)


async def report_lines(conn: AsyncConnection, since: Instant, until: Instant) -> tuple[ReportLine, ...]:
    """What was recorded, returned and opened from `since` on and before `until`. Reads every entry opened by then."""
    # In one statement, which sees one moment: what changes meanwhile must not stand on one side only.
    rows = await conn.execute(union_all(*(sums(since, until) for sums in (_recorded, _returned, _exceptions))))
    return add_up(map(_line, rows))


def _recorded(since: Instant, until: Instant) -> Select[Any]:
    member = items_within(entries.c.body, "storefront_refunds")
    amount = cast(_of(member, "amount"), BigInteger)
    by = *_BY, _of(member, "currency")
    untold = func.sum(case((amount.is_(None), 1), else_=0))
    query = select(*by, func.coalesce(func.sum(amount), 0), untold, *[_NOTHING] * 3).select_from(entries)
    return query.join(member.table, true()).where(*_at(member, since, until)).group_by(*by)


def _returned(since: Instant, until: Instant) -> Select[Any]:
    member = items_within(entries.c.body, "gateway_refunds")
    # A gateway refund counts with its own gateway, also where an entry has refunds of several.
    by = entries.c.store, _of(member, "source"), _of(member, "currency")
    returned = func.sum(cast(_of(member, "amount"), BigInteger))
    query = select(*by[:2], cast(null(), Text), by[2], _NOTHING, _NOTHING, returned, _NOTHING, _NOTHING)
    query = query.select_from(entries).join(member.table, true())
    return query.where(*_at(member, since, until), _of(member, "status") == "succeeded").group_by(*by)


def _exceptions(since: Instant, until: Instant) -> Select[Any]:
    opened, by = entries.c.opened_at, (*_BY, entries.c.currency)
    sums = func.count(), func.coalesce(func.sum(entries.c.at_stake), 0)
    query = select(*by, *[_NOTHING] * 3, *sums).where(entries.c.status == "unmatched")
    return query.where(opened >= since, opened < until).group_by(*by)


def _at(member: ColumnElement[Any], since: Instant, until: Instant) -> tuple[ColumnElement[bool], ...]:
    """The member's own time. The entries of other months are left out before their members are looked at."""
    at = cast(_of(member, "at"), BigInteger)
    near = entries.c.last_at.is_(None) | (entries.c.last_at >= since)
    return entries.c.opened_at < until, near, at >= since, at < until


def _of(member: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return member.op("->>")(literal_column(f"'{name}'"))


def _line(row: Any) -> ReportLine:  # noqa: ANN401 - a row
    store, source, unconfigured, currency = row[:4]
    # An entry's source is its gateway, or the store where no gateway refund is known.
    gateway = unconfigured or (source if source not in (store, "") else None)
    return ReportLine(store, gateway, currency, Sums(*map(int, row[4:])))
