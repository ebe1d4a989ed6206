"""Work that is cancelled in the middle."""

import asyncio
import itertools
import types
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def _cut(work: Coroutine[Any, Any, None], awaits: int) -> Generator[Any, Any, None]:
    """The work, cancelled at the so-manieth time that it waits for something."""
    thrown: BaseException | None = None
    for n in itertools.count():
        try:
            waited_for = work.throw(thrown) if thrown else work.send(None)
        except StopIteration:
            return
        if n == awaits and (task := asyncio.current_task()):
            task.cancel()
        try:
            thrown = None
            yield waited_for
        except BaseException as error:  # noqa: BLE001 - handed on to the work, as if it had waited itself
            thrown = error


async def cut_short(work: Coroutine[Any, Any, None], awaits: int) -> None:
    """Do the work until it has waited so often."""

    async def run() -> None:
        await _cut(work, awaits)

    await asyncio.wait([asyncio.create_task(run())])
