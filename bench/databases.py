"""Databases to measure on: each new and with its schema, in a folder that is removed at the end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from storage.database import migrate
from tests.postgres import create_database, drop_database, postgres_server

KINDS = ("sqlite", "postgresql")
LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class Databases:
    """Makes databases of either kind. `server`: the address of PostgreSQL's maintenance database."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self._server = server
        self._made: list[str] = []

    def new(self, kind: str) -> str:
        """The address of a new one."""
        sqlite = f"sqlite:///{self.folder}/{len(self._made)}/ledger.db"
        url = sqlite if kind == "sqlite" else asyncio.run(create_database(self._server))
        self._made.append(url)
        asyncio.run(migrate(url))
        return url

    def drop(self) -> None:
        """Remove those that are not in the folder."""
        for url in self._made:
            if not url.startswith("sqlite"):
                asyncio.run(drop_database(self._server, url))

    def postgres_version(self) -> str:
        """The server's version, and a warning where its commits are not durable."""
        return asyncio.run(_version(self._server))


async def _version(server: str) -> str:
    conn = await asyncpg.connect(server)
    try:
        version, fsync = await conn.fetchrow("SELECT current_setting('server_version'), current_setting('fsync')")
    finally:
        await conn.close()
    return str(version) if fsync == "on" else f"{version} (fsync is off: its commits are not durable)"


@contextmanager
def databases() -> Iterator[Databases]:
    """A folder for SQLite, and a PostgreSQL server that really syncs."""
    with TemporaryDirectory(prefix="refund-ledger-bench-") as folder, postgres_server(fsync=True) as server:
        made = Databases(Path(folder), server)
        try:
            yield made
        finally:
            made.drop()
