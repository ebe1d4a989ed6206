"""Where each poll stands, and what is still to be asked."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from sources.base import Event
from storage.rows import among, insert_rows, packed
from storage.schema import checkpoints, inbox, journal, questions

BACKFILL = "backfill:"
"""Begins the names under which the checkpoints of backfills stand."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask a source about."""

    source: str
    about: str
    since: Instant
    """When it was first asked about."""
    due_at: Instant


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything of a list up to `reached` is in the journal since `moved_at`."""

    source: str
    feed: str
    reached: Instant
    moved_at: Instant


# One statement, alike on both databases: two processes may move the same one.
_MOVE = text(
    "INSERT INTO checkpoints (source, feed, reached, moved_at) VALUES (:source, :feed, :reached, :moved_at)"
    " ON CONFLICT (source, feed) DO UPDATE SET reached = excluded.reached, moved_at = excluded.moved_at"
)
_NAMES = ("source", "about", "since", "due_at")
_ABOUT = select(questions.c.source, questions.c.about, questions.c.due_at).where(among(questions.c.about, "abouts"))


async def add_questions(conn: AsyncConnection, wanted: Iterable[Question]) -> None:
    """Have these asked, but for what is asked anyway no later."""
    new = {(q.source, q.about): q for q in wanted}
    if not new:
        return
    rows = await conn.execute(_ABOUT, {"abouts": packed({q.about for q in new.values()})})
    for source, about, due_at in rows:
        if (source, about) in new and due_at <= new[source, about].due_at:
            del new[source, about]
    await insert_rows(conn, questions, _NAMES, [(q.source, q.about, q.since, q.due_at) for q in new.values()])


async def due_questions(conn: AsyncConnection, source: str, now: Instant, limit: int) -> list[Question]:
    """What is due to be asked of a source, longest due first, each thing once."""
    query = (
        select(questions.c.source, questions.c.about, func.min(questions.c.since), func.min(questions.c.due_at))
        .where(questions.c.source == source, questions.c.due_at <= now)
        .group_by(questions.c.source, questions.c.about)
        .order_by(func.min(questions.c.due_at))
        .limit(limit)
    )
    return [Question(*row) for row in (await conn.execute(query))]


async def put_off(conn: AsyncConnection, asked: Question, due_at: Instant) -> Question:
    """It is being asked: have it asked again at that time, unless it is settled before; the question as it stands."""
    same = (questions.c.about == asked.about) & (questions.c.source == asked.source)
    await conn.execute(delete(questions).where(same, questions.c.due_at <= asked.due_at))
    later = replace(asked, due_at=due_at)
    await insert_rows(conn, questions, _NAMES, [(later.source, later.about, later.since, later.due_at)])
    return later


async def settle_question(conn: AsyncConnection, asked: Question, again: Sequence[Question] = ()) -> None:
    """It was answered; put in its place when to ask again. What came up since it was put off stays."""
    same = (questions.c.about == asked.about) & (questions.c.source == asked.source)
    await conn.execute(delete(questions).where(same, questions.c.due_at == asked.due_at))
    await add_questions(conn, again)


async def load_checkpoints(conn: AsyncConnection, source: str) -> dict[str, Checkpoint]:
    """How far the lists of a source have been fetched, by name of the list."""
    rows = await conn.execute(select(checkpoints).where(checkpoints.c.source == source))
    return {feed: Checkpoint(source, feed, reached, moved_at) for _, feed, reached, moved_at in rows}


async def last_polls(conn: AsyncConnection) -> dict[str, Instant]:
    """When the lists of each source were last fetched by the daemon; a source of which none was is left out."""
    own = checkpoints.c.feed.not_like(f"{BACKFILL}%")
    last = select(checkpoints.c.source, func.max(checkpoints.c.moved_at)).where(own).group_by(checkpoints.c.source)
    return {source: at for source, at in await conn.execute(last)}  # noqa: C416 - rows are no tuples to dict()


async def move_checkpoint(conn: AsyncConnection, to: Checkpoint) -> None:
    """Everything of the list up to there is in the journal."""
    await conn.execute(_MOVE, asdict(to))


async def forget_checkpoint(conn: AsyncConnection, source: str, feed: str) -> None:
    """Begin anew the next time."""
    await conn.execute(delete(checkpoints).where(checkpoints.c.source == source, checkpoints.c.feed == feed))


async def known_keys(conn: AsyncConnection, source: str, keys: Iterable[str]) -> set[str]:
    """Those of the events that are in the journal."""
    query = select(journal.c.event_key).where(journal.c.source == source, among(journal.c.event_key, "keys"))
    return set(await conn.scalars(query, {"keys": packed(keys)}))


async def waiting_events(conn: AsyncConnection, source: str, limit: int) -> list[Event]:
    """Events of a source that are in the journal and not interpreted yet, the newest first."""
    columns = (journal.c.id, journal.c.source, journal.c.event_key, journal.c.type, journal.c.body)
    query = (
        select(*columns, journal.c.received_at)
        .join_from(inbox, journal, journal.c.id == inbox.c.journal_id)
        .where(journal.c.source == source)
        .order_by(journal.c.id.desc())
        .limit(limit)
    )
    return [Event(*row) for row in await conn.execute(query)]
