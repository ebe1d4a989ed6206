"""PostgreSQL: several listeners and several sync processes on one database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from storage.database import (
    Database,
    NewEvent,
    Role,
    StorageUnavailable,
    unavailable_where_it_fails,
    which_are_new,
)
from storage.failures import why
from storage.rows import packed

log = logging.getLogger(__name__)

# The last is what the driver makes of a server that breaks off.
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_CHANNEL = "refund_ledger"
_TELL_PAUSE_SECONDS = 0.1
_LEADER_KEY = 0x5EFD_1ED6
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 60
_ASK_SECONDS = 10
_APPEND_SECONDS = 10
"""How long a sender may wait for a server that does not answer; many give up soon after."""

# One statement and so one transaction: journal and inbox.
_APPEND = """
WITH added AS (
    INSERT INTO journal (source, event_key, type, via, received_at, headers, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bytea[])
    ON CONFLICT DO NOTHING
    RETURNING id, source, event_key
), waiting AS (
    INSERT INTO inbox (journal_id) SELECT id FROM added
)
SELECT source, event_key FROM added
"""

_NOTIFY = text(f"NOTIFY {_CHANNEL}")

# Sorted, so that two workers wait for each other in one direction only.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(value::bigint) FROM json_array_elements_text(CAST(:refs AS JSON)) AS refs(value)"
)


class PostgresDatabase(Database):
    """A database on a server; the address in libpq's form."""

    shared = True

    def __init__(self, url: str, role: Role) -> None:
        self._url = url
        self._name = f"refund-ledger {role}"
        self._appending: Any = None
        self._untold = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._leading: Any = None
        self._leads = False
        self._asking_to_lead = asyncio.Lock()
        self._listening: Any = None
        self._told = asyncio.Event()
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=5,
            max_overflow=5,
            pool_timeout=_CONNECT_SECONDS,
            hide_parameters=True,
        )
        # What is read in several statements belongs together, as on SQLite.
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with unavailable_where_it_fails():
            async with self._reader.connect() as conn:
                yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        with unavailable_where_it_fails():
            async with self._engine.begin() as conn:
                yield conn

    async def create(self) -> None:
        """See Database. It is made by whoever runs the server."""

    async def drop_copies(self) -> bool:
        """See Database. What the server keeps is its own affair."""
        return True

    async def append(self, events: Sequence[NewEvent]) -> list[bool]:
        rows = [event.row() for event in events]
        # In one order, so that two listeners that add the same events do not wait for each other for ever.
        columns = zip(*sorted(rows, key=lambda row: row[:2]), strict=True)
        try:
            with _failures():
                # The server may have closed it while nothing arrived.
                if self._appending is None or self._appending.is_closed():
                    # Its one statement looks nothing up but by unique keys: it is planned once.
                    self._appending = await self._connect(plans="force_generic_plan")
                added = await self._appending.fetch(_APPEND, *columns, timeout=_APPEND_SECONDS)
        except StorageUnavailable:
            await _drop(self._appending)
            self._appending = None
            raise
        if added:
            self._untold.set()
            self._telling = self._telling or asyncio.create_task(self._tell())
        return which_are_new(rows, added)

    async def _tell(self) -> None:
        """Wake sync, in a transaction of its own and not for each append.

        A commit that notifies waits for every other that does, and nobody who appends should.
        """
        while True:
            await self._untold.wait()
            await self._notify()
            await asyncio.sleep(_TELL_PAUSE_SECONDS)

    async def _notify(self) -> None:
        self._untold.clear()
        try:
            with suppress(StorageUnavailable):  # the server may have closed the connection while nothing arrived
                return await self._notify_once()
            await self._notify_once()
        except StorageUnavailable as failure:
            log.warning("sync was not told of new events; it looks for them itself", extra={"cause": str(failure)})
        except asyncio.CancelledError:
            self._untold.set()  # to be told when the database is closed
            raise

    async def _notify_once(self) -> None:
        async with self.write() as conn:
            await conn.execute(_NOTIFY)

    async def lock(self, conn: AsyncConnection, refs: Iterable[int]) -> None:
        await conn.execute(_LOCK, {"refs": packed(sorted(set(refs)))})

    async def wait_for_events(self, timeout_seconds: float) -> bool:
        """See Database. LISTEN on a connection of its own; a new connection counts as told."""
        if self._listening is None or self._listening.is_closed():
            with _failures():
                self._listening = await self._connect()
                self._listening.add_termination_listener(lambda _: self._told.set())
                await self._listening.add_listener(_CHANNEL, lambda *_: self._told.set())
            self._told.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._told.wait()
        except TimeoutError:
            # One that was cut off without a word would never tell again.
            await _asked(self._listening, "SELECT 1")
            return False
        self._told.clear()
        return True

    async def try_lead(self) -> bool:
        """See Database. The lock lives as long as its connection."""
        # Every loop of a process asks, and a second connection made in the meantime would take the lock away with it.
        async with self._asking_to_lead:
            if self._leading is None or self._leading.is_closed():
                self._leads = False
                self._leading = await self._connect()
            self._leads = bool(await _asked(self._leading, "SELECT pg_try_advisory_lock($1)", _LEADER_KEY))
            return self._leads

    def leads(self) -> bool:
        """See Database. A connection that the server closed is known to be closed at once."""
        return self._leads and not self._leading.is_closed()

    async def close(self) -> None:
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        if self._untold.is_set():
            await self._notify()
        for conn in (self._appending, self._leading, self._listening):
            await _drop(conn)
        await self._engine.dispose()

    # A plan kept from when the tables were small would scan them later.
    async def _connect(self, plans: str = "force_custom_plan") -> Any:  # noqa: ANN401 the driver has no types
        with _failures():
            return await asyncpg.connect(
                self._url,
                timeout=_CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                server_settings={
                    "application_name": self._name,
                    # A commit is on disk before it returns, whatever the server's default.
                    "synchronous_commit": "on",
                    "plan_cache_mode": plans,
                    "jit": "off",
                },
            )


@contextmanager
def _failures() -> Iterator[None]:
    """Turn the driver's errors into StorageUnavailable, whose text holds no data and no address."""
    try:
        yield
    except (*_FAILURES, OSError) as error:
        raise StorageUnavailable(f"the database failed: {why(error)}") from error


async def _asked(conn: Any, question: str, *values: int) -> Any:  # noqa: ANN401
    """What a connection answers that is kept for long; one that does not, while it counts as open, is dropped."""
    try:
        with _failures():
            return await conn.fetchval(question, *values, timeout=_ASK_SECONDS)
    except StorageUnavailable:
        await _drop(conn)
        raise


async def _drop(conn: Any) -> None:  # noqa: ANN401
    """Close the connection, at once where it does not answer."""
    if conn is None or conn.is_closed():
        return
    try:
        await conn.close(timeout=1)
    except (*_FAILURES, OSError):
        conn.terminate()
