"""The loop that cuts the bodies of old events, and deletes what is left of them later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import Retention
from ledger.instants import Instant
from storage.database import Database
from storage.retention import Page, aged_cut, aged_whole, cut_bodies, delete_events, needed, told_no_time
from sync.supervise import Stop

BATCH = 200
"""Events in one transaction: the listener must not wait long for its turn on SQLite."""

PAUSE_SECONDS = 0.05
"""Between two batches: what arrives goes first."""

PASS_SECONDS = 6 * 3600.0
"""Between two passes over what has become old."""

log = logging.getLogger(__name__)


@dataclass
class PurgeReport:
    """What a pass did, or would do."""

    cut: int = 0
    deleted: int = 0
    kept: int = 0
    """Old enough, and needed for an open entry."""


Aged = Callable[[AsyncConnection, int, Instant, int], Awaitable[Page]]
Progress = Callable[[PurgeReport], None]


class Retaining:
    """Keeps to the retention that is configured, for as long as this process leads."""

    def __init__(self, db: Database, retention: Retention, clock: Callable[[], Instant]) -> None:
        self._db = db
        self._retention = retention
        self._clock = clock

    async def run(self, stop: Stop) -> None:
        """Pass over what has become old, until `stop`."""
        while not stop.is_set():
            if await self._db.try_lead():
                # A stop ends it between two transactions, or rolls one back: the next pass goes on.
                await stop.unless(self._pass())
            await stop.sleep(PASS_SECONDS)

    async def _pass(self) -> None:
        done = await purge(self._db, self._retention, self._clock())
        if done.cut or done.deleted:
            log.info("old events", extra={"cut": done.cut, "deleted": done.deleted, "kept": done.kept})


async def purge(
    db: Database,
    retention: Retention,
    now: Instant,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _report: None,
) -> PurgeReport:
    """Cut and delete what is old enough at that time. Raises StorageUnavailable; then what is done stays done."""
    report = PurgeReport()
    if retention.delete_events_after is not None:
        async for ids in _old(db, aged_cut, now - _instant(retention.delete_events_after), report):
            async with db.read() as conn:
                known_for_ever = await told_no_time(conn, ids)
            past = [id_ for id_ in ids if id_ not in known_for_ever]
            if not dry_run:
                async with db.write() as conn:
                    await delete_events(conn, past)
            report.deleted += len(past)
            progress(report)
    if retention.cut_bodies_after is not None:
        async for ids in _old(db, aged_whole, now - _instant(retention.cut_bodies_after), report):
            if not dry_run:
                async with db.write() as conn:
                    await cut_bodies(conn, ids)
            report.cut += len(ids)
            progress(report)
    return report


async def _old(db: Database, aged: Aged, before: Instant, report: PurgeReport) -> AsyncIterator[list[int]]:
    """The events that are old enough and that no open entry needs, batch by batch."""
    last: int | None = 0
    while last is not None:
        async with db.read() as conn:
            ids, last = await aged(conn, last, before, BATCH)
            kept = await needed(conn, ids)
        report.kept += len(kept)
        yield [id_ for id_ in ids if id_ not in kept]
        await asyncio.sleep(PAUSE_SECONDS)


def _instant(duration: timedelta) -> Instant:
    return duration // timedelta(microseconds=1)
