"""The journal's writer: requests that arrive together share one commit."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Self, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.database import Database, NewEvent, StorageUnavailable
from storage.schema import journal

__all__ = ["Journal", "NewEvent"]

LINE_MAX = 2_000
"""Events that may wait for their commit; more are refused at once."""

BATCH_MAX = 256
"""Events in one transaction: sync must not wait long for its turn on SQLite."""

Delivery: TypeAlias = tuple[Sequence[NewEvent], asyncio.Future[list[bool]]]
"""Events that are stored together, and who waits for them."""


class Journal:
    """Appends events durably. One in a process; as a context it closes itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._line: deque[Delivery] = deque()
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(self, events: Sequence[NewEvent]) -> list[bool]:
        """Append the events of one delivery together; for each whether it is new or, False, a duplicate.

        Returns when they are on disk. Raises StorageUnavailable, at once where too many wait already.
        """
        if self._closed or self._waiting >= LINE_MAX:
            raise StorageUnavailable("the journal is closed" if self._closed else "too many events wait to be stored")
        if not events:
            return []
        answer: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._line.append((events, answer))
        self._waiting += len(events)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await answer

    async def close(self) -> None:
        """Store what waits, and take nothing more."""
        self._closed = True
        if self._writer:
            await self._writer

    async def _write(self) -> None:
        while self._line:
            if not self._database.shared:
                await self._gather()
            await self._store(self._next_batch())
        self._writer = None

    async def _gather(self) -> None:
        """Let all that has arrived join the line: the commit of an embedded database takes this process's own time.

        A server's does not, and is better begun at once (measured: bench, 16 connections).
        """
        seen = 0
        while seen < self._waiting < BATCH_MAX:
            seen = self._waiting
            await asyncio.sleep(0)

    def _next_batch(self) -> list[Delivery]:
        deliveries = [self._line.popleft()]
        size = len(deliveries[0][0])
        while self._line and size + len(self._line[0][0]) <= BATCH_MAX:
            deliveries.append(self._line.popleft())
            size += len(deliveries[-1][0])
        return deliveries

    async def _store(self, deliveries: list[Delivery]) -> None:
        events = [event for events, _ in deliveries for event in events]
        try:
            new = iter(await self._database.append(events))
        except Exception as error:  # noqa: BLE001 whatever it is, it is the answer to each who waits
            _refuse(deliveries, error)
        else:
            for delivered, answer in deliveries:
                outcome = [next(new) for _ in delivered]
                if not answer.done():
                    answer.set_result(outcome)
        finally:
            self._waiting -= len(events)


def _refuse(deliveries: list[Delivery], error: Exception) -> None:
    for _, answer in deliveries:
        if not answer.done():
            refusal = StorageUnavailable(str(error))
            refusal.__cause__ = error
            answer.set_exception(refusal)


async def last_events(conn: AsyncConnection, sources: Iterable[str]) -> dict[str, Instant]:
    """When the newest event of each source arrived; a source without any is left out."""
    found: dict[str, Instant] = {}
    for source in sources:
        newest = select(func.max(journal.c.id)).where(journal.c.source == source).scalar_subquery()
        at = await conn.scalar(select(journal.c.received_at).where(journal.c.id == newest))
        if at is not None:
            found[source] = at
    return found
