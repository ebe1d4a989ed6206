"""SQLite: one file beside which lock files keep its writers apart.

SQLite before 3.51.3 has a rare bug that can corrupt a WAL database when two connections write or checkpoint at the
same instant (sqlite.org/wal.html, "The WAL-Reset Bug"). So whoever opens, closes or commits on a writable connection
holds an advisory lock on a file of its own; all else opens the database read-only, which never checkpoints.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import quote

import aiosqlite
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from storage.database import (
    AlreadyRunning,
    Database,
    NewEvent,
    Role,
    StorageUnavailable,
    unavailable_where_it_fails,
    which_are_new,
)
from storage.failures import why

LOCK_WAIT_SECONDS = 5.0
"""How long a writer waits for the others. A write takes milliseconds."""

_PAUSE_SECONDS = 0.0005
_CHECKPOINT_TRIES = 20
_WATCH_SECONDS = 0.25
_CLOCK_TICK_NS = 20_000_000

# FULL: a commit is on disk before it returns. 4,000 pages (32 MiB) of log before they go into the database: with 1,000
# the commits of sync to a large database brought the same pages in again and again.
# 128 MiB of pages are kept in memory, of what was read: the indexes on what outside systems name are read all over.
_PRAGMAS = (
    "PRAGMA busy_timeout=5000; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-131072"
)

_ADD_EVENT = (
    "INSERT INTO journal (source, event_key, type, via, received_at, headers, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_ADDED = "SELECT source, event_key FROM journal WHERE id > ?"
_ADD_TO_INBOX = "INSERT INTO inbox (journal_id) SELECT id FROM journal WHERE id > ?"


def version_note() -> str | None:
    """A warning about SQLite's version, or None where there is nothing to say."""
    if sqlite3.sqlite_version_info >= (3, 51, 3):
        return None
    return (
        f"SQLite {sqlite3.sqlite_version} has a rare bug in WAL mode (mended in 3.51.3); lock files keep this"
        " program's writers clear of it, so let no other program write to the database while it runs"
    )


class FileLock:
    """An advisory lock on a file. flock and never fcntl's locks: SQLite's own are of that kind, and a process loses
    all of those on a file as soon as it closes any descriptor of it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def taken(self) -> bool:
        """Take it if it is free, without waiting; whether it was."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release it for good."""
        os.close(self._fd)


class SqliteDatabase(Database):
    """One file, one listener process, one sync process."""

    shared = False

    def __init__(self, path: Path, role: Role) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._seen: tuple[int, int] | None = (-1, -1)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._role_lock = _role_lock(path, role)
            self._write_lock = FileLock(Path(f"{path}.lock"))
            self._journal = _JournalConnection(path)
        except OSError as error:
            raise StorageUnavailable(f"{path} cannot be opened: {error.strerror}") from error
        self._writing = asyncio.Lock()
        self._reader = _engine(path, "ro", begin="BEGIN", connections=4)
        self._writer = _engine(path, "rw", begin="BEGIN IMMEDIATE", connections=1)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with unavailable_where_it_fails():
            async with self._reader.connect() as conn:
                yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._alone():
            with unavailable_where_it_fails():
                async with self._writer.begin() as conn:
                    yield conn

    async def append(self, events: Sequence[NewEvent]) -> list[bool]:
        return await asyncio.get_running_loop().run_in_executor(self._journal.executor, self._journal.append, events)

    async def lock(self, conn: AsyncConnection, refs: Iterable[int]) -> None:
        """Nothing to do: a write transaction keeps out every other."""

    async def wait_for_events(self, timeout_seconds: float) -> bool:
        """See Database. Watches the WAL file: whatever is committed changes it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        if self._seen is None:
            await asyncio.sleep(min(_WATCH_SECONDS, timeout_seconds))
        while (stamp := self._stamp()) == self._seen:
            if (left := deadline - loop.time()) <= 0:
                return False
            await asyncio.sleep(min(_WATCH_SECONDS, left))
        # A second write within one tick of the file's clock leaves the same stamp: only one that has aged counts.
        self._seen = stamp if time.time_ns() - stamp[0] > _CLOCK_TICK_NS else None
        return True

    async def try_lead(self) -> bool:
        """See Database. There is only one sync process."""
        return True

    def leads(self) -> bool:
        """See Database."""
        return True

    async def close(self) -> None:
        await self._reader.dispose()
        async with self._alone():
            await self._writer.dispose()
        await asyncio.get_running_loop().run_in_executor(self._journal.executor, self._journal.close)
        self._journal.executor.shutdown()
        self._write_lock.close()
        if self._role_lock:
            self._role_lock.close()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock among all writers. Waiting happens on the event loop, so that it can be cancelled."""
        async with self._writing:
            deadline = time.monotonic() + LOCK_WAIT_SECONDS
            while not self._write_lock.taken():
                if time.monotonic() > deadline:
                    raise StorageUnavailable("another process keeps the database locked")
                await asyncio.sleep(_PAUSE_SECONDS)
            try:
                yield
            finally:
                self._write_lock.release()

    async def create(self) -> None:
        """See Database. Page size and WAL are set while the file is empty."""
        if self._path.exists() and self._path.stat().st_size:
            return
        async with self._alone():
            with unavailable_where_it_fails():
                # SQLite gives its -wal and -shm files the mode of the database: no other user can read any of them.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                try:
                    with closing(_opened(self._path)) as conn:
                        conn.executescript("PRAGMA page_size=8192; PRAGMA journal_mode=WAL").close()
                except sqlite3.Error as error:
                    raise StorageUnavailable(f"{self._path} cannot be made: {why(error)}") from error

    async def drop_copies(self) -> bool:
        """See Database. The WAL holds pages as they were until later ones take their place, which may be never."""
        loop = asyncio.get_running_loop()
        for _ in range(_CHECKPOINT_TRIES):
            if await loop.run_in_executor(self._journal.executor, self._journal.empty_wal):
                return True
            await asyncio.sleep(_WATCH_SECONDS)  # somebody reads
        return False

    def _stamp(self) -> tuple[int, int]:
        try:
            stat = self._wal.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_mtime_ns, stat.st_size


class _JournalConnection:
    """The journal's own connection, in a thread of its own: commits wait for the disk, the event loop does not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(Path(f"{path}.lock"))
        self._conn: sqlite3.Connection | None = None
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="journal")

    def append(self, events: Sequence[NewEvent]) -> list[bool]:
        """One transaction. Any failure drops the connection: the next one begins afresh."""
        rows = [event.row() for event in events]
        self._wait_for_lock()
        try:
            self._conn = self._conn or _opened(self._path)
            return _append(self._conn, rows)
        except sqlite3.Error as error:
            self._drop()
            raise StorageUnavailable(f"the journal cannot be written: {why(error)}") from error
        finally:
            self._lock.release()

    def empty_wal(self) -> bool:
        """Bring all of it into the database, and cut it to nothing; False where a reader is in the way."""
        self._wait_for_lock()
        try:
            self._conn = self._conn or _opened(self._path)
            self._conn.execute("PRAGMA busy_timeout=100")  # nobody can commit meanwhile
            return bool(self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"the database failed: {why(error)}") from error
        finally:
            self._drop()
            self._lock.release()

    def close(self) -> None:
        """Close the connection."""
        if self._conn:
            self._wait_for_lock()
        self._drop()
        self._lock.close()

    def _drop(self) -> None:
        if self._conn:
            self._conn.close()
            self._conn = None

    def _wait_for_lock(self) -> None:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not self._lock.taken():
            if time.monotonic() > deadline:
                raise StorageUnavailable("another process keeps the database locked")
            time.sleep(_PAUSE_SECONDS)


def _append(conn: sqlite3.Connection, rows: list[tuple[object, ...]]) -> list[bool]:
    conn.execute("BEGIN IMMEDIATE")
    last = conn.execute("SELECT max(id) FROM journal").fetchone()[0] or 0
    if conn.executemany(_ADD_EVENT, rows).rowcount == len(rows):
        new = [True] * len(rows)
    else:
        new = which_are_new(rows, conn.execute(_ADDED, (last,)))
    conn.execute(_ADD_TO_INBOX, (last,))
    conn.execute("COMMIT")
    return new


def _role_lock(path: Path, role: Role) -> FileLock | None:
    if role not in ("listener", "sync"):
        return None
    lock = FileLock(Path(f"{path}.{role}.lock"))
    if not lock.taken():
        lock.close()
        raise AlreadyRunning(
            f"a {role} process already runs on {path}: stop that one first, or use PostgreSQL, where several may run"
        )
    return lock


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _opened(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, check_same_thread=False)
    conn.executescript(_PRAGMAS).close()
    return conn


def _engine(path: Path, mode: str, *, begin: str, connections: int) -> AsyncEngine:
    async def connect() -> aiosqlite.Connection:
        connection = aiosqlite.connect(_uri(path, mode), uri=True, isolation_level=None)
        # A forgotten connection must not keep the process from ending.
        connection._thread.daemon = True  # noqa: SLF001
        try:
            await connection
            await (await connection.executescript(_PRAGMAS)).close()
        except BaseException:  # the pool does not know it yet
            await connection.close()
            raise
        return connection

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "begin", lambda conn: conn.exec_driver_sql(begin))
    return engine
