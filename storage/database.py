"""A database as the rest of the house sees it, and how to open one. What differs between the two is behind it."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from msgspec.json import Encoder
from sqlalchemy import delete, exc, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.instants import Instant
from storage.failures import is_fault_of_ours, why
from storage.schema import meta, storable

Role = Literal["listener", "sync", "console", "cli"]
Via = Literal["webhook", "poll", "import", "operator"]

_ENCODER = Encoder()


class StorageUnavailable(Exception):  # noqa: N818 - the word that the contract uses
    """The database cannot be read or written now; the same may work later. The text names no data."""


class AlreadyRunning(Exception):  # noqa: N818
    """Another process has this role on the SQLite file; the text says what to do."""


class NewEvent(NamedTuple):
    """An authenticated message on its way into the journal."""

    source: str
    key: str | None
    """The identity of the event: printable ASCII, at most 255 characters. None: never a duplicate."""
    type: str
    via: Via
    received_at: Instant
    headers: Mapping[str, str]
    body: bytes

    def row(self) -> tuple[object, ...]:
        """The journal's columns, in order, without the id."""
        key = self.key or f"arrival:{self.received_at:016x}-{secrets.token_hex(8)}"
        headers = _ENCODER.encode(self.headers).decode()
        return self.source, key, storable(self.type), self.via, self.received_at, headers, self.body


def which_are_new(rows: Iterable[tuple[object, ...]], added: Iterable[Iterable[object]]) -> list[bool]:
    """For each of the rows whether it is among those that were added, as (source, key).

    A second one with the same key was not.
    """
    left = {tuple(identity) for identity in added}
    return [_taken(left, row[:2]) for row in rows]


def _taken(left: set[tuple[object, ...]], identity: tuple[object, ...]) -> bool:
    found = identity in left
    left.discard(identity)
    return found


class Database(ABC):
    """An open database."""

    shared: ClassVar[bool]
    """Whether several sync processes may work on it at once."""

    @abstractmethod
    async def create(self) -> None:
        """Make the database where there is none and that is ours to do. Raises StorageUnavailable."""

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading. Keep it short: while a SQLite reader is open the WAL cannot be reset.

        Raises StorageUnavailable, here and in its use.
        """

    @abstractmethod
    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction, committed at the end, rolled back on an exception.

        On SQLite it keeps every other writer out from its first moment. Raises StorageUnavailable, here and in its use.
        """

    @abstractmethod
    async def append(self, events: Sequence[NewEvent]) -> list[bool]:
        """Add the events to journal and inbox, durably; for each whether it is new. For the Journal, one at a time.

        Raises StorageUnavailable, and then usually none was added, in any case not some of them.
        """

    @abstractmethod
    async def lock(self, conn: AsyncConnection, refs: Iterable[int]) -> None:
        """Keep other workers off these references until the transaction ends."""

    @abstractmethod
    async def wait_for_events(self, timeout_seconds: float) -> bool:
        """Wait until something may have been added since the last call returned; whether it was so.

        The first call returns at once. One waiter in a process. Raises StorageUnavailable.
        """

    @abstractmethod
    async def try_lead(self) -> bool:
        """Whether this is the one process that leads, from now or still. Raises StorageUnavailable."""

    @abstractmethod
    def leads(self) -> bool:
        """Whether try_lead said so last, and it is not known to have been lost since."""

    @abstractmethod
    async def drop_copies(self) -> bool:
        """Get rid of the copies of earlier content that stand beside the tables; whether none is left.

        Raises StorageUnavailable.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give up connections and locks."""

    async def check_writable(self) -> None:
        """Write and commit something that changes nothing. Raises StorageUnavailable."""
        async with self.write() as conn:
            # An update to what stands there already would not reach the disk: SQLite leaves it out.
            row = {"key": f"probe:{secrets.token_hex(8)}", "value": ""}
            await conn.execute(insert(meta).values(row))
            await conn.execute(delete(meta).where(meta.c.key == row["key"]))


@asynccontextmanager
async def open_database(url: str, role: Role) -> AsyncIterator[Database]:
    """Open the database for a process in this role, its schema brought up to date; close it at the end.

    `url` is `sqlite:///relative` or `sqlite:////absolute`, or `postgresql://…` in libpq's form.
    Raises StorageUnavailable, and AlreadyRunning for a second listener or sync process on one SQLite file.
    """
    database = _connected(url, role)
    try:
        await _migrate(database)
        yield database
    finally:
        await _closed(database)


async def _closed(database: Database) -> None:
    """Close it to the end, also where the user is interrupted meanwhile: a SQLite writer has to be closed alone."""
    closing = asyncio.create_task(database.close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await closing
        raise


async def migrate(url: str) -> None:
    """Create the schema or bring it up to date. Raises StorageUnavailable."""
    async with open_database(url, "cli"):
        pass


def _connected(url: str, role: Role) -> Database:
    # Imported here so that a process on SQLite never loads asyncpg, and the reverse.
    if url.startswith("sqlite:///"):
        from storage.sqlite import SqliteDatabase

        return SqliteDatabase(Path(url.removeprefix("sqlite:///")), role)
    if url.startswith(("postgresql://", "postgres://")):
        from storage.postgres import PostgresDatabase

        return PostgresDatabase(url, role)
    raise ValueError("database_url is neither sqlite:///… nor postgresql://…")


async def _migrate(database: Database) -> None:
    from storage.migrate import is_current, upgrader

    await database.create()
    async with database.read() as conn:
        if await conn.run_sync(is_current):
            return
    upgrade = upgrader()
    async with database.write() as conn:
        await database.lock(conn, [0])
        await conn.run_sync(upgrade)


@contextmanager
def unavailable_where_it_fails() -> Iterator[None]:
    """Turn the errors of a database that cannot do its work now into StorageUnavailable."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
        if is_fault_of_ours(error):
            raise
        raise StorageUnavailable(f"the database failed: {why(error)}") from error
