"""Loops that go on: one that fails is started again, and never takes another one with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from storage.database import StorageUnavailable

PAUSE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Before a failed loop is started again, longer each time it fails without having run for a while."""

WELL_SECONDS = 60.0
"""A loop that has run for so long was well: its next failure counts as its first."""

log = logging.getLogger(__name__)


class Stop:
    """The wish to end, and how to wait for something else unless it is uttered."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Utter it."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it was uttered."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Until it is uttered."""
        await self._event.wait()

    async def unless(self, other: Coroutine[Any, Any, Any]) -> None:
        """Until `other` has ended, or the wish is uttered: then `other` is cancelled. Raises what `other` raises."""
        waiting = asyncio.create_task(self._event.wait())
        working = asyncio.create_task(other)
        try:
            await asyncio.wait((waiting, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait((working,))
        if not working.cancelled():
            working.result()

    async def sleep(self, seconds: float) -> None:
        """For so long, or until the wish is uttered."""
        await self.unless(asyncio.sleep(seconds))


async def supervise(name: str, loop: Callable[[Stop], Awaitable[None]], stop: Stop) -> None:
    """Run the loop until `stop`, again and again should it fail."""
    failures = 0
    clock = asyncio.get_running_loop().time
    while not stop.is_set():
        began = clock()
        try:
            await loop(stop)
        except StorageUnavailable as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed", name)
        failures = 0 if clock() - began > WELL_SECONDS else failures + 1
        if not stop.is_set():
            await stop.sleep(PAUSE_SECONDS[min(max(failures, 1), len(PAUSE_SECONDS)) - 1])
