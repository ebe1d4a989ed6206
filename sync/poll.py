"""The loop that asks one source for what its webhooks did not bring. Each source has its own: none delays another."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from ledger.instants import DAY, SECOND, Instant
from sources.base import Source
from sources.polling import ApiFailed, Feed, thinning_out
from storage.database import Database, StorageUnavailable
from storage.entries import has_open_entry
from storage.journal import Journal
from storage.polling import (
    Checkpoint,
    Question,
    due_questions,
    load_checkpoints,
    move_checkpoint,
    put_off,
    settle_question,
)
from sync.fetch import Fetcher
from sync.poll_metrics import SourcePolls
from sync.supervise import Stop

LOOK_SECONDS = 5.0
"""How often it is looked for questions that are due."""

ASK_MAX = 50
"""Questions between two looks at the lists."""

ASK_AGAIN = 600 * SECOND
"""When a question is asked again that failed, on its first day; later it is asked ever more rarely."""

ASK_FOR = 180 * DAY
"""When one that fails again and again is given up: longer than any source has something to tell."""

REFUSED_MAX = 10
"""So many that fail alone, and no answer, are not the questions' fault: everything waits."""

AHEAD_MAX = 60 * SECOND
"""A checkpoint that is further in the future was set by a clock that was wrong."""

BACK_OFF_SECONDS = (30.0, 60.0, 300.0, 900.0, 3600.0)
FAULTS_EVERY = 3600.0
JITTER = 0.1

log = logging.getLogger(__name__)


class Polling:
    """Polls one source for as long as this process leads."""

    def __init__(
        self,
        db: Database,
        journal: Journal,
        source: Source[Any],
        metrics: SourcePolls,
        clock: Callable[[], Instant],
    ) -> None:
        self._db = db
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._fetcher = Fetcher(db, journal, source)
        self._failures = 0
        self._feeds_at = self._faults_at = 0.0

    async def run(self, stop: Stop) -> None:
        """Poll until `stop`."""
        self._poller = self._source.poller()
        try:
            while not stop.is_set():
                await stop.sleep(await self._turn(stop))
        finally:
            await self._poller.close()

    async def _turn(self, stop: Stop) -> float:
        """Poll once, if this process leads; seconds until the next turn."""
        if not await self._db.try_lead():
            # The one that leads looks at it from now on, and tells.
            self._metrics.forget()
            self._faults_at = 0.0
            return LOOK_SECONDS
        try:
            await stop.unless(self.step())
        except ApiFailed as failure:
            return self._failed(failure)
        except StorageUnavailable:
            raise
        except Exception:
            self._metrics.failed()  # a fault of ours: whoever restarts this loop does not know that it is a poll
            raise
        self._failures = 0
        return LOOK_SECONDS

    async def step(self) -> None:
        """What is due now: the lists, then questions, then a look at our endpoint over there.

        A right that our key lacks, or an answer that cannot be read, stops only what needs it. Raises ApiFailed,
        StorageUnavailable.
        """
        now = asyncio.get_running_loop().time()
        interval: timedelta | None = self._source.settings.poll_interval
        lists_due = interval is not None and now >= self._feeds_at
        lists = [partial(self.walk, feed) for feed in self._poller.feeds()] if lists_due else []
        parts: list[Callable[[], Awaitable[None]]] = [*lists, self.ask_due, self._look_at_endpoint]
        if lists_due:
            await self._show_deadline()
        refused: ApiFailed | None = None
        for part in parts:
            try:
                await part()
            except ApiFailed as failure:
                if failure.unavailable:
                    raise
                refused = refused or failure
        if refused:
            raise refused
        if interval is not None and lists_due:
            await self._show_deadline()
            self._metrics.succeeded(self._clock())
            self._feeds_at = now + interval.total_seconds() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311

    async def walk(self, feed: Feed) -> None:
        """Fetch a list from its checkpoint to now, window by window.

        The checkpoint follows only what is in the journal: whatever stops the walk, the next one begins there.
        """
        async with self._db.read() as conn:
            standing = (await load_checkpoints(conn, self._source.name)).get(feed.name)
        now = self._clock()
        first = now - self._source.settings.poll_since // timedelta(microseconds=1)
        if standing and standing.reached > now + AHEAD_MAX:
            log.warning("the clock was ahead: a list is fetched anew", extra={"source": self._source.name})
            standing = None
        start = (standing.reached if standing else first) - feed.overlap
        if feed.horizon is not None:
            start = max(start, now - feed.horizon)
        for since, until in windows(start, now - feed.lag, feed.window):
            async for fetched in feed.fetch(since, until):
                self._metrics.recovered(await self._fetcher.store(fetched))
            async with self._db.write() as conn:
                await move_checkpoint(conn, Checkpoint(self._source.name, feed.name, until, self._clock()))

    async def ask_due(self) -> None:
        """Ask what is due to be asked. What cannot be answered does not keep the others from being asked."""
        async with self._db.read() as conn:
            due = await due_questions(conn, self._source.name, self._clock(), ASK_MAX)
        answered = refused = 0
        for question in due:
            try:
                await self._ask(question)
                answered += 1
            except ApiFailed as failure:
                refused += 1
                if not failure.alone or (refused == REFUSED_MAX and not answered):
                    raise
                self._metrics.failed()
                log.warning("a question failed: %s", failure, extra={"source": self._source.name})

    async def _ask(self, question: Question) -> None:
        age = self._clock() - question.since
        pause = ASK_AGAIN if age < DAY else thinning_out(age, ASK_FOR)
        # Put off first: what cannot be answered now has its next turn behind the others, and what comes up while the
        # answer is on its way is a question of its own.
        async with self._db.write() as conn:
            if pause is None:
                await settle_question(conn, question)
                return
            asked = await put_off(conn, question, self._clock() + pause)
        answer = await self._poller.ask(question.about, age)
        self._metrics.recovered(await self._fetcher.store(answer.fetched))
        again = answer.again_after
        kind, _, id_ = question.about.partition(":")
        async with self._db.write() as conn:
            found_order = kind == "order" and answer.fetched.messages
            if found_order and not await has_open_entry(conn, self._source.name, id_):
                again = None  # both sides agree: there is nothing left to ask about
            later = [] if again is None else [replace(asked, due_at=self._clock() + again)]
            await settle_question(conn, asked, later)
        self._metrics.succeeded(self._clock())

    async def _look_at_endpoint(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._faults_at:
            return
        try:
            self._metrics.faults(len(await self._poller.faults()))
        except ApiFailed as failure:
            if not failure.permanent:
                raise
            self._metrics.faults(1)  # our key may not look: `refund-ledger check` says so
        self._faults_at = now + FAULTS_EVERY

    async def _show_deadline(self) -> None:
        """When the oldest thing that was not fetched yet leaves the other side's lists."""
        async with self._db.read() as conn:
            standing = await load_checkpoints(conn, self._source.name)
        horizons = {feed.name: feed.horizon for feed in self._poller.feeds() if feed.horizon is not None}
        ends = [c.reached + horizons[name] for name, c in standing.items() if name in horizons]
        if ends:
            self._metrics.deadline(min(ends))

    def _failed(self, failure: ApiFailed) -> float:
        """Count it; seconds to wait: what the other side asked for, else longer each time."""
        self._metrics.failed()
        pause = BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        if failure.permanent:
            pause = BACK_OFF_SECONDS[-1]
        if failure.retry_after_seconds is not None:
            pause = max(failure.retry_after_seconds, 1.0)
        pause *= random.uniform(1, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
        log.warning("polling failed: %s", failure, extra={"source": self._source.name, "pause_seconds": round(pause)})
        return pause


def windows(start: Instant, end: Instant, length: Instant) -> Iterator[tuple[Instant, Instant]]:
    """The stretch of time in pieces, oldest first; whole seconds, which is what the other sides know."""
    start, end = start // SECOND * SECOND, end // SECOND * SECOND
    while start < end:
        yield start, min(start + length, end)
        start += length
