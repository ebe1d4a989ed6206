"""The loop that turns what arrived into the ledger: interpret, pair, wait."""

import logging
from collections.abc import Callable
from typing import Any

from ledger.instants import SECOND, Instant
from ledger.policy import Policy
from sources.base import Source
from storage.database import Database
from storage.facts import next_due
from sync.announce import NOBODY, NoticeRules
from sync.interpret import BATCH, interpret_batch
from sync.metrics import Metrics
from sync.pair import pair_batch
from sync.supervise import Stop

WAIT_SECONDS_MAX = 5.0
"""How long it waits for an event before it looks all the same."""

WAIT_SECONDS_MIN = 0.1
"""How long it waits at least: what is due may be in the hands of another worker."""

AHEAD = 10 * BATCH
"""Events that are interpreted before what they touch is paired: what waits together is paired once."""

log = logging.getLogger(__name__)


class Worker:
    """Interprets and pairs until it is stopped. `clock` tells the time that grace periods run on."""

    def __init__(
        self,
        db: Database,
        sources: dict[str, Source[Any]],
        policy: Policy,
        metrics: Metrics,
        clock: Callable[[], Instant],
        notices: NoticeRules = NOBODY,
    ) -> None:
        self._db = db
        self._sources = sources
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._notices = notices
        self._ahead = 0

    async def run(self, stop: Stop) -> None:
        """Work until `stop`; a batch in hand is finished."""
        while not stop.is_set():
            if not await self.step():
                await stop.unless(self._db.wait_for_events(await self._patience()))

    async def step(self) -> bool:
        """Interpret a batch, and pair a batch unless more events wait; whether there was anything to do.

        Raises StorageUnavailable.
        """
        ahead = self._ahead >= AHEAD
        received = [] if ahead else await interpret_batch(self._db, self._sources, self._clock())
        self._ahead += len(received)
        if len(received) == BATCH and self._ahead < AHEAD:
            return True
        batch = await pair_batch(self._db, self._policy, self._clock(), self._notices)
        if not batch.marks:
            self._ahead = 0
        now = self._clock()
        arrived = {m.journal_id: m.since for m in batch.marks if m.journal_id is not None}
        self._metrics.paired(batch.changes, arrived.values(), now)
        self._metrics.last_success.set(now / SECOND)
        return bool(ahead or received or batch.marks)

    async def _patience(self) -> float:
        """Seconds until something is due, within the limits."""
        async with self._db.read() as conn:
            due = await next_due(conn)
        if due is None:
            return WAIT_SECONDS_MAX
        return min(max((due - self._clock()) / SECOND, WAIT_SECONDS_MIN), WAIT_SECONDS_MAX)


async def settle(
    db: Database,
    sources: dict[str, Source[Any]],
    policy: Policy,
    clock: Callable[[], Instant],
    notices: NoticeRules = NOBODY,
) -> None:
    """Work until nothing is left to do now."""
    worker = Worker(db, sources, policy, Metrics(), clock, notices)
    while await worker.step():
        pass
