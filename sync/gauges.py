"""The loop that reads the ledger's state for its gauges."""

import asyncio
import shutil
from pathlib import Path

from storage.database import Database, StorageUnavailable
from storage.dead_letters import count_backlog, count_dead_letters
from storage.entries import count_entries, open_amounts
from storage.journal import last_events
from storage.queries import unconfigured_gateways
from sync.metrics import LedgerState, Metrics
from sync.supervise import Stop

REFRESH_SECONDS = 5.0
SHARE_MAX = 0.05
"""At most so much of the time is spent reading: the larger the ledger, the rarer."""
PAUSE_SECONDS_MAX = 60.0
"""And yet alerts are never much older: one slow read, as while everything starts, must not blind them for minutes."""


class GaugeReader:
    """Keeps the ledger's gauges fresh for as long as this process leads."""

    def __init__(self, db: Database, sources: list[str], metrics: Metrics, folder: Path | None = None) -> None:
        """`folder`: of the SQLite database."""
        self._db = db
        self._sources = sources
        self._metrics = metrics
        self._folder = folder
        # Told by two, every sum would be double.
        metrics.ledger.leads = db.leads

    async def run(self, stop: Stop) -> None:
        """Refresh until `stop`. Raises StorageUnavailable, and then nothing is told: another may lead by now."""
        clock = asyncio.get_running_loop().time
        due = clock()
        try:
            while not stop.is_set():
                began = clock()
                if began >= due or not await self._stands():
                    await self.refresh()
                    due = clock() + min((clock() - began) / SHARE_MAX, PAUSE_SECONDS_MAX)
                await stop.sleep(REFRESH_SECONDS)
        except StorageUnavailable:
            self._metrics.ledger.state = None
            raise

    async def refresh(self) -> None:
        """Read the state once, where this process leads. Raises StorageUnavailable."""
        self._metrics.ledger.state = await self._read() if await self._db.try_lead() else None

    async def _stands(self) -> bool:
        """Whether what was read is still this process's to tell."""
        return self._metrics.ledger.state is not None and await self._db.try_lead()

    async def _read(self) -> LedgerState:
        async with self._db.read() as conn:
            return LedgerState(
                counts=await count_entries(conn),
                open=await open_amounts(conn),
                backlog=await count_backlog(conn),
                dead_letters=await count_dead_letters(conn),
                unconfigured=await unconfigured_gateways(conn),
                last_events=await last_events(conn, self._sources),
                free_bytes=shutil.disk_usage(self._folder).free if self._folder else None,
            )
