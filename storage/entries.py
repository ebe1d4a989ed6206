"""The ledger: entries as they stand, their history, their former ids."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import OPEN, Entry, decode_entry, encode_entry
from ledger.instants import Instant
from storage.rows import among, delete_rows, insert_rows, packed
from storage.schema import entries, entry_aliases, entry_history, storable

_NAMES = (
    "id", "home", "store", "order_id", "source", "status", "reason", "currency", "at_stake", "verified",
    "opened_at", "body", "unconfigured", "snoozed_until", "assigned_to", "last_at",
)  # fmt: skip
_HISTORY_NAMES = (
    "entry_id", "at", "change", "status", "reason", "explanation", "caused_by", "actor", "decision_id",
)  # fmt: skip


class HistoryLine(Struct, frozen=True, gc=False):
    """One change of an entry."""

    entry_id: str
    """The id that it had then."""
    at: Instant
    change: Mapping[str, Any]
    """What changed, as {"status": [old, new]}; JSON."""
    status: str
    reason: str
    """Empty where there is none."""
    explanation: str
    caused_by: tuple[int, ...]
    """Journal ids of the events."""
    actor: str | None = None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; None is any."""

    status: str | None = None
    reason: str | None = None
    source: str | None = None
    """Gateway or store."""
    order_id: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    """Of `opened_at`: from `since` on, before `until`."""


@dataclass(frozen=True, slots=True)
class EntryCount:
    """How many entries stand alike."""

    source: str
    status: str
    reason: str
    verified: bool
    count: int


@dataclass(frozen=True, slots=True)
class OpenAmount:
    """What the unmatched entries of one source, reason and currency are about."""

    source: str
    reason: str
    currency: str
    count: int
    amount: int
    """Those with a known amount, summed."""
    oldest: Instant


class UnknownCursor(ValueError):  # noqa: N818 - as a sentence says it
    """A cursor that no page gave out."""


_BODY = select(entries.c.body)
_BY_ID = _BODY.where(among(entries.c.id, "ids"))
_AT_HOMES = _BODY.where(among(entries.c.home, "homes"))


async def load_entries(conn: AsyncConnection, homes: Iterable[int]) -> dict[str, Entry]:
    """The entries filed under these references, by id."""
    return {entry.id: entry for entry in await _entries(conn, _AT_HOMES, {"homes": packed(homes)})}


async def write_entries(
    conn: AsyncConnection,
    changed: Sequence[Entry],
    gone: Iterable[str] = (),
    *,
    history: Sequence[HistoryLine] = (),
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Put the changed entries in place of what stood under their ids, remove those that are gone, append the history.

    `aliases`: the former id = the current one.
    """
    aliases = aliases or {}
    ids = [entry.id for entry in changed]
    await delete_rows(conn, entries.c.id, {*ids, *gone})
    await insert_rows(conn, entries, _NAMES, [_row(entry) for entry in changed])
    # An entry that has its former id back is found under it directly.
    await delete_rows(conn, entry_aliases.c.former_id, {*ids, *aliases})
    await insert_rows(conn, entry_aliases, ("former_id", "entry_id"), list(aliases.items()))
    await insert_rows(conn, entry_history, _HISTORY_NAMES, [_history_row(line) for line in history])


async def find_entry(conn: AsyncConnection, entry_id: str) -> Entry | None:
    """The entry with this id, or the current entry where the id is a former one."""
    seen: set[str] = set()
    id_: str | None = entry_id
    while id_ is not None and id_ not in seen:
        seen.add(id_)
        if found := await _entries(conn, _BODY.where(entries.c.id == id_)):
            return found[0]
        id_ = await conn.scalar(select(entry_aliases.c.entry_id).where(entry_aliases.c.former_id == id_))
    return None


async def entries_by_id(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Entry]:
    """Those of the entries that there are, by id, in the order of `ids`; former ids are not looked up."""
    ids = list(ids)
    found = {entry.id: entry for entry in await _entries(conn, _BY_ID, {"ids": packed(ids)})}
    return {id_: found[id_] for id_ in ids if id_ in found}


async def order_entries(conn: AsyncConnection, store: str, order_id: str) -> list[Entry]:
    """The entries of an order, in order of opening."""
    condition = (entries.c.store == store) & (entries.c.order_id == order_id)
    query = _BODY.where(condition).order_by(entries.c.opened_at, entries.c.id)
    return await _entries(conn, query)


async def has_open_entry(conn: AsyncConnection, store: str, order_id: str) -> bool:
    """Whether an entry of the order waits for something: is pending or unmatched."""
    of_order = (entries.c.store == store) & (entries.c.order_id == order_id)
    query = select(exists().where(of_order, entries.c.status.in_(OPEN)))
    return bool(await conn.scalar(query))


async def page(
    conn: AsyncConnection, chosen: EntryFilter, limit: int, cursor: str | None = None
) -> tuple[list[Entry], str | None]:
    """The next `limit` entries by (opened_at, id), and the cursor of the page after; None where there is none.

    What changes between two pages neither repeats nor skips an entry that stays. Raises UnknownCursor.
    """
    query = _filtered(chosen).order_by(entries.c.opened_at, entries.c.id).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(entries.c.opened_at, entries.c.id) > tuple_(*_position(cursor)))
    found = await _entries(conn, query)
    more = len(found) > limit
    found = found[:limit]
    return found, _cursor(found[-1]) if more else None


async def entries_after(conn: AsyncConnection, entry_id: str, limit: int) -> list[Entry]:
    """The next entries in order of id."""
    return await _entries(conn, _BODY.where(entries.c.id > entry_id).order_by(entries.c.id).limit(limit))


async def full_id(conn: AsyncConnection, start: str) -> str:
    """The id of the one entry whose id starts so; `start` itself where there is none or more than one."""
    # Ids are hexadecimal: "g" comes after whatever can follow.
    query = select(entries.c.id).where(entries.c.id.between(start, start + "g")).limit(2)
    found = (await conn.execute(query)).scalars().all()
    return found[0] if len(found) == 1 else start


async def load_history(conn: AsyncConnection, entry_id: str) -> list[HistoryLine]:
    """Every change of the entry, also those under its former ids, oldest first."""
    ids = select(entry_aliases.c.former_id).where(entry_aliases.c.entry_id == entry_id).cte("ids", recursive=True)
    former = select(entry_aliases.c.former_id).join(ids, entry_aliases.c.entry_id == ids.c.former_id)
    known = select(ids.union(former).c.former_id)
    query = (
        select(*(entry_history.c[name] for name in _HISTORY_NAMES))
        .where(or_(entry_history.c.entry_id == entry_id, entry_history.c.entry_id.in_(known)))
        .order_by(entry_history.c.id)
    )
    return [_history_line(row) for row in (await conn.execute(query))]


async def count_entries(conn: AsyncConnection) -> list[EntryCount]:
    """The whole ledger counted, from an index alone."""
    by = (entries.c.status, entries.c.reason, entries.c.source, entries.c.verified)
    rows = await conn.execute(select(*by, func.count()).group_by(*by))
    return [EntryCount(source, status, reason, verified, count) for status, reason, source, verified, count in rows]


async def open_amounts(conn: AsyncConnection) -> list[OpenAmount]:
    """The unmatched entries in sums."""
    by = (entries.c.source, entries.c.reason, entries.c.currency)
    sums = (func.count(), func.coalesce(func.sum(entries.c.at_stake), 0), func.min(entries.c.opened_at))
    rows = await conn.execute(select(*by, *sums).where(entries.c.status == "unmatched").group_by(*by))
    return [
        OpenAmount(source, reason, currency, count, int(amount), oldest)
        for source, reason, currency, count, amount, oldest in rows
    ]


def on_a_side(source: str) -> ColumnElement[bool]:
    """The condition that an entry has a refund of this source, gateway or store."""
    # Where several gateways paid one recorded refund, the column has the first. In JSON a text cannot look like this.
    member = entries.c.body.contains(f'"source":"{storable(source)}"', autoescape=True)
    return or_(entries.c.source == source, entries.c.store == source, member)


def _filtered(chosen: EntryFilter) -> Select[str]:
    query = _BODY
    if chosen.status is not None:
        query = query.where(entries.c.status == chosen.status)
    if chosen.reason is not None:
        query = query.where(entries.c.reason == chosen.reason)
    if chosen.source is not None:
        query = query.where(on_a_side(chosen.source))
    if chosen.order_id is not None:
        query = query.where(entries.c.order_id == chosen.order_id)
    if chosen.since is not None:
        query = query.where(entries.c.opened_at >= chosen.since)
    if chosen.until is not None:
        query = query.where(entries.c.opened_at < chosen.until)
    return query


async def _entries(conn: AsyncConnection, query: Select[str], values: Mapping[str, Any] | None = None) -> list[Entry]:
    return [decode_entry(body) for body in (await conn.execute(query, values)).scalars()]


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        entry.id,
        entry.home,
        entry.store,
        entry.order_id,
        entry.source,
        entry.status,
        entry.reason or "",
        entry.currency,
        entry.amount_at_stake,
        entry.verified,
        entry.opened_at,
        encode_entry(entry),
        entry.unconfigured,
        entry.snoozed_until,
        entry.assigned_to,
        max(_times(entry)),
    )


def _times(entry: Entry) -> list[Instant]:
    recorded = [refund.at for refund in entry.storefront_refunds]
    return [entry.opened_at, *(refund.at for refund in entry.gateway_refunds), *recorded]


def _history_row(line: HistoryLine) -> tuple[object, ...]:
    change = json.dumps(line.change, separators=(",", ":"))
    caused_by = json.dumps(line.caused_by, separators=(",", ":"))
    return (line.entry_id, line.at, change, line.status, line.reason, line.explanation, caused_by, line.actor,
            line.decision_id)  # fmt: skip


def _history_line(row: Sequence[Any]) -> HistoryLine:
    entry_id, at, change, status, reason, explanation, caused_by, actor, decision_id = row
    return HistoryLine(entry_id, at, json.loads(change), status, reason, explanation,
                       tuple(json.loads(caused_by)), actor, decision_id)  # fmt: skip


def _cursor(entry: Entry) -> str:
    return urlsafe_b64encode(f"{entry.opened_at}.{entry.id}".encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[Instant, str]:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        opened_at, id_ = text.split(".", 1)
        position = int(opened_at), id_
    except (binascii.Error, UnicodeError, ValueError):
        raise UnknownCursor("the cursor is not one that a page gave out") from None
    if not 0 <= position[0] < 2**63 or not id_.isalnum():
        raise UnknownCursor("the cursor is not one that a page gave out")
    return position
