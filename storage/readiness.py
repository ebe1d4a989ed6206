"""Whether storage can be written, for anybody who asks."""

import asyncio
import math
import time

from storage.database import Database, StorageUnavailable

HOLDS_SECONDS = 1
"""How long what was found holds: anybody may ask, and finding out costs a commit."""


class Readiness:
    """Finds out whether the database can be written, whoever asks at once or within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._asked = -math.inf
        self._writable = False

    async def is_ready(self) -> bool:
        """Whether it could be written a moment ago."""
        async with self._asking:
            if time.monotonic() - self._asked >= HOLDS_SECONDS:
                try:
                    await self._database.check_writable()
                    self._writable = True
                except StorageUnavailable:
                    self._writable = False
                self._asked = time.monotonic()
        return self._writable
