"""Whether storage can be written, for anybody who asks."""

import asyncio
import math
import time

from storage.database import Database, StorageUnavailable

HOLDS_SECONDS = 1
"""How long what was found holds: anybody may ask, and finding out costs a commit."""

ANSWER_SECONDS = 5
"""How long somebody who asks waits for a database that does not answer."""


class Readiness:
    """Finds out whether the database can be written, whoever asks at once or within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._finding_out: asyncio.Task[bool] | None = None
        self._found = -math.inf

    async def is_ready(self) -> bool:
        """Whether it could be written a moment ago."""
        held = time.monotonic() - self._found < HOLDS_SECONDS
        if self._finding_out is None or (self._finding_out.done() and not held):
            self._finding_out = asyncio.create_task(self._is_writable())
        finding_out = self._finding_out
        # It goes on where it takes longer: whoever asks next hears what comes of it.
        await asyncio.wait([finding_out], timeout=ANSWER_SECONDS)
        return finding_out.done() and finding_out.result()

    async def _is_writable(self) -> bool:
        try:
            await self._database.check_writable()
        except StorageUnavailable:
            return False
        else:
            return True
        finally:
            self._found = time.monotonic()
