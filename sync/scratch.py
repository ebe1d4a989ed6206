"""A database beside the standing one: what would be is worked out there, and nothing that stands is touched."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryDirectory

from storage.database import Database, open_database


@asynccontextmanager
async def scratch_database() -> AsyncIterator[Database]:
    """An empty one, gone at the end."""
    with _cleared_up_when_told_to_end(), TemporaryDirectory(prefix="refund-ledger-") as folder:
        async with open_database(f"sqlite:///{folder}/ledger.db", "cli") as db:
            yield db


@contextmanager
def _cleared_up_when_told_to_end() -> Iterator[None]:
    """Otherwise a terminal that is closed, or a job that is stopped, would leave a copy of the ledger behind."""
    loop, numbers = asyncio.get_running_loop(), []
    if threading.current_thread() is threading.main_thread():
        numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        loop.add_signal_handler(number, sys.exit, 128 + number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
