"""Events past their time: the body is cut, and the row is deleted later. What an event said stays, as its facts.

It is the only change that an event in the journal ever sees. Never touched: what is not interpreted yet or was set
aside, whose body is still needed; and what operators decided.
"""

from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Select, and_, bindparam, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Decision, DisputeFact, Fact
from ledger.instants import Instant
from sources.registry import OPERATOR
from storage.entries import load_entries
from storage.facts import facts_of, hanging_together, load_component
from storage.rows import among, delete_rows, packed
from storage.schema import dead_letters, inbox, journal

_ARRIVED = (journal.c.source != OPERATOR, journal.c.id.not_in(select(inbox.c.journal_id)))
_DONE_WITH = (*_ARRIVED, journal.c.id.not_in(select(dead_letters.c.journal_id)))
_WHOLE = journal.c.digest.is_(None)
_BODIES = select(journal.c.id, journal.c.body).where(among(journal.c.id, "ids"), _WHOLE)
_DELIVERED = select(journal.c.id, journal.c.received_at).where(among(journal.c.id, "ids"), journal.c.via != "poll")
_CUT = (
    update(journal)
    .where(journal.c.id == bindparam("cut_id"))
    .values(body=b"", headers="{}", digest=bindparam("cut_digest"))
)


class Page(NamedTuple):
    """A stretch of the journal, looked through for old events."""

    ids: list[int]
    """Of those that were looked for."""
    last: int | None
    """Where to go on; None where what follows is younger."""


async def aged_whole(conn: AsyncConnection, after: int, before: Instant, limit: int) -> Page:
    """The next events that arrived before that time and are done with, their bodies still there."""
    # The database passes over what is cut already. It stops where the young ones begin: they all have their bodies.
    query = select(journal.c.id, journal.c.received_at, true().label("wanted")).where(_WHOLE, *_DONE_WITH)
    return await _page(conn, query, after, before, limit)


async def aged_cut(conn: AsyncConnection, after: int, before: Instant, limit: int) -> Page:
    """The next events that arrived before that time and whose bodies are cut."""
    # To have the database look for cut ones would have it read on through all that are not, to the end of the journal.
    query = select(journal.c.id, journal.c.received_at, and_(~_WHOLE, *_DONE_WITH).label("wanted"))
    return await _page(conn, query, after, before, limit)


async def needed(conn: AsyncConnection, ids: Iterable[int]) -> dict[int, set[str]]:
    """Those of the events that hang together with an open entry (pending or unmatched), and with which entries."""
    own = await facts_of(conn, ids)
    stored = await load_component(conn, {ref for one in own for ref in (*one.found, *one.leads)})
    groups = hanging_together(stored)
    waiting: dict[int, set[str]] = {}
    for entry in (await load_entries(conn, {one.found[0] for one in stored})).values():
        if entry.is_open:
            waiting.setdefault(groups.root(entry.home), set()).add(entry.id)
    found: dict[int, set[str]] = {}
    for one in own:
        if open_entries := waiting.get(groups.root(one.found[0])):
            found.setdefault(one.journal_id, set()).update(open_entries)
    return found


async def told_no_time(conn: AsyncConnection, ids: Iterable[int]) -> set[int]:
    """Those of the events whose facts count from their arrival: they would be news if they were stored once more.

    Not of what was polled: nobody delivers that again.
    """
    arrived = {row.id: row.received_at for row in await conn.execute(_DELIVERED, {"ids": packed(ids)})}
    return {one.journal_id for one in await facts_of(conn, arrived) if _time(one.fact) == arrived[one.journal_id]}


def _time(fact: Fact) -> Instant:
    return fact.at if isinstance(fact, DisputeFact | Decision) else fact.as_of


async def cut_bodies(conn: AsyncConnection, ids: Iterable[int], *, set_aside: bool = False) -> int:
    """Cut the bodies of those of the events that are done with, and keep their SHA-256; how many these were.

    With `set_aside` also of those that were set aside, which is over with that.
    """
    if conn.dialect.name == "sqlite":
        await conn.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrite, and not only forget where it stands
    query = _BODIES.where(*(_ARRIVED if set_aside else _DONE_WITH))
    rows = (await conn.execute(query, {"ids": packed(ids)})).all()
    if rows:
        await delete_rows(conn, dead_letters.c.journal_id, [id_ for id_, _ in rows])
        await conn.execute(_CUT, [{"cut_id": id_, "cut_digest": sha256(body).digest()} for id_, body in rows])
    return len(rows)


async def delete_events(conn: AsyncConnection, ids: Collection[int]) -> None:
    """Delete these rows of the journal. Their facts stay, under ids that are not given again."""
    await delete_rows(conn, journal.c.id, ids)


async def count_cut(conn: AsyncConnection) -> int:
    """How many events have no body any more. Reads the whole journal."""
    return (await conn.execute(select(func.count()).select_from(journal).where(~_WHOLE))).scalar_one()


async def bodies_after(conn: AsyncConnection, after: int, limit: int) -> list[tuple[int, str, bytes]]:
    """The next events that have a body: id, source and body."""
    query = select(journal.c.id, journal.c.source, journal.c.body).where(journal.c.id > after, _WHOLE)
    return [(row.id, row.source, row.body) for row in await conn.execute(query.order_by(journal.c.id).limit(limit))]


async def _page(
    conn: AsyncConnection, query: Select[tuple[int, Instant, bool]], after: int, before: Instant, limit: int
) -> Page:
    rows = (await conn.execute(query.where(journal.c.id > after).order_by(journal.c.id).limit(limit))).all()
    # Ids rise with the time of arrival, but for moments: where a whole page is younger, what follows is too.
    if not any(row.received_at < before for row in rows):
        return Page([], None)
    return Page([row.id for row in rows if row.wanted and row.received_at < before], rows[-1].id)
