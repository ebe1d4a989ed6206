"""Events that could not be interpreted, and the backlog of those that have not been yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.rows import among, insert_rows, packed
from storage.schema import dead_letters, inbox, journal


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was set aside."""

    journal_id: int
    source: str
    type: str
    received_at: Instant
    reason: str
    at: Instant
    attempts: int


# One that waits in the inbox again has been redriven, and is not dead while it waits.
_AWAY = dead_letters.c.journal_id.not_in(select(inbox.c.journal_id))
_LIST = (
    select(
        journal.c.id,
        journal.c.source,
        journal.c.type,
        journal.c.received_at,
        dead_letters.c.reason,
        dead_letters.c.at,
        dead_letters.c.attempts,
    )
    .join_from(dead_letters, journal, journal.c.id == dead_letters.c.journal_id)
    .where(_AWAY)
    .order_by(journal.c.id)
)
_CHOSEN = select(dead_letters.c.journal_id).where(_AWAY, among(dead_letters.c.journal_id, "ids"))


async def list_dead_letters(conn: AsyncConnection, limit: int, after: int = 0) -> list[DeadLetter]:
    """The oldest dead letters of those whose journal id is above `after`."""
    rows = await conn.execute(_LIST.where(journal.c.id > after).limit(limit))
    return [DeadLetter(*row) for row in rows]


async def redrive(conn: AsyncConnection, journal_ids: Iterable[int]) -> list[int]:
    """Put dead letters back into the inbox, to be interpreted again; the ids of those that were."""
    chosen = list((await conn.scalars(_CHOSEN, {"ids": packed(journal_ids)})).all())
    await insert_rows(conn, inbox, ("journal_id",), [(id_,) for id_ in chosen])
    return chosen


async def count_dead_letters(conn: AsyncConnection) -> int:
    """How many events are set aside."""
    return (await conn.execute(select(func.count()).select_from(dead_letters).where(_AWAY))).scalar_one()


async def count_backlog(conn: AsyncConnection) -> int:
    """How many events wait to be interpreted."""
    return (await conn.execute(select(func.count()).select_from(inbox))).scalar_one()
