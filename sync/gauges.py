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

    async def run(self, stop: Stop) -> None:
        """Refresh until `stop`."""
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            began = clock()
            await self.refresh()
            pause = min((clock() - began) / SHARE_MAX, PAUSE_SECONDS_MAX)
            await stop.sleep(max(REFRESH_SECONDS, pause))

    async def refresh(self) -> None:
        """Read the state once. Raises StorageUnavailable, and then nothing is known: another may lead by now."""
        try:
            self._metrics.ledger.state = await self._read() if await self._db.try_lead() else None
        except StorageUnavailable:
            self._metrics.ledger.state = None
            raise

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
