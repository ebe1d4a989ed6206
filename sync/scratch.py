"""A database beside the standing one: what would be is worked out there, and nothing that stands is touched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from storage.database import Database, open_database


@asynccontextmanager
async def scratch_database() -> AsyncIterator[Database]:
    """An empty one, gone at the end."""
    with TemporaryDirectory(prefix="refund-ledger-") as folder:
        async with open_database(f"sqlite:///{folder}/ledger.db", "cli") as db:
            yield db
