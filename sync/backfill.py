"""Fetch a stretch of a source's past: resumable, at the source's own pace, while the daemon runs or not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger.instants import DAY, Instant
from sources.base import Source
from sources.polling import Feed, Poller
from storage.database import Database
from storage.journal import Journal
from storage.polling import BACKFILL, Checkpoint, forget_checkpoint, load_checkpoints, move_checkpoint
from sync.fetch import Fetcher
from sync.poll import windows


@dataclass
class BackfillReport:
    """What a backfill found, or would find."""

    fetched: int = 0
    """Messages that the source told."""
    new: int = 0
    """Those of them that nothing had told of before."""
    done: int = 0
    """Windows of time that are finished."""
    windows: int = 0
    resumed: bool = False
    """Whether an earlier backfill of the same stretch was taken up where it stopped."""


Progress = Callable[[BackfillReport], None]


async def backfill(
    db: Database,
    source: Source[Any],
    since: Instant,
    clock: Callable[[], Instant],
    *,
    dry_run: bool = False,
    progress: Progress = lambda _report: None,
) -> BackfillReport:
    """Fetch everything that the source's lists tell since then, oldest first, into the journal.

    A backfill that was stopped goes on where it stood when it is asked for the same day again. With `dry_run`
    nothing is written. Raises ApiFailed, StorageUnavailable.
    """
    report = BackfillReport()
    poller = source.poller()
    try:
        async with Journal(db) as journal:
            feeds = [(feed, await _start(db, source, feed, since, clock(), report)) for feed in poller.feeds()]
            until = clock()
            plan = [(feed, list(windows(start, until, feed.window))) for feed, start in feeds]
            report.windows = sum(len(stretches) for _, stretches in plan)
            progress(report)
            fetcher = Fetcher(db, journal, source)
            for feed, stretches in plan:
                for begin, end in stretches:
                    async for fetched in feed.fetch(begin, end):
                        report.fetched += len(fetched.messages)
                        report.new += await (fetcher.would_recover if dry_run else fetcher.store)(fetched)
                        progress(report)
                    if not dry_run:
                        async with db.write() as conn:
                            to = Checkpoint(source.name, _name(feed, since), end, clock())
                            await move_checkpoint(conn, to)
                    report.done += 1
                    progress(report)
            if not dry_run:
                await _finished(db, source, poller, since)
    finally:
        await poller.close()
    return report


def _name(feed: Feed, since: Instant) -> str:
    """Under which its checkpoint stands: the same for the same day, so that "30d" typed again goes on."""
    return f"{BACKFILL}{feed.name}:{since // DAY}"


async def _start(
    db: Database, source: Source[Any], feed: Feed, since: Instant, now: Instant, report: BackfillReport
) -> Instant:
    async with db.read() as conn:
        standing = (await load_checkpoints(conn, source.name)).get(_name(feed, since))
    if standing:
        report.resumed = True
        return standing.reached
    return since if feed.horizon is None else max(since, now - feed.horizon)


async def _finished(db: Database, source: Source[Any], poller: Poller, since: Instant) -> None:
    async with db.write() as conn:
        for feed in poller.feeds():
            await forget_checkpoint(conn, source.name, _name(feed, since))
