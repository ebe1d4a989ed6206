"""Opening a database: its schema, its locks, who may read its files, and what happens when it fails."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select, text

from storage import postgres
from storage.database import AlreadyRunning, Database, StorageUnavailable, migrate, open_database
from storage.meta import created_at
from storage.migrate import HEAD
from storage.postgres import PostgresDatabase
from storage.schema import journal, meta, metadata
from storage.sqlite import _PRAGMAS, version_note
from tests.interrupted import cut_short
from tests.storage.build import event


async def test_the_migrated_schema_is_the_one_the_code_uses(database: Database) -> None:
    def differences(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata))

    async with database.read() as conn:
        assert await conn.run_sync(differences) == []


async def test_what_is_read_in_several_statements_belongs_together(database: Database) -> None:
    async with database.read() as conn:
        before = (await conn.execute(select(func.count()).select_from(journal))).scalar_one()
        await database.append([event("evt_1")])
        assert (await conn.execute(select(func.count()).select_from(journal))).scalar_one() == before
    async with database.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(journal))).scalar_one() == before + 1


def test_the_newest_migration_is_the_one_the_code_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    await migrate(database_url)
    async with open_database(database_url, "cli") as database, database.read() as conn:
        born = await created_at(conn)
    await migrate(database_url)
    async with open_database(database_url, "cli") as database, database.read() as conn:
        assert await created_at(conn) == born


async def test_several_processes_may_create_the_schema_at_once(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    async with open_database(empty_url, "cli") as database, database.read() as conn:
        assert await created_at(conn)


async def test_a_connection_whose_opening_is_cancelled_anywhere_is_closed(database_url: str) -> None:
    """Where one is not, its end is a warning, and so an error."""
    for awaits in range(10):
        async with open_database(database_url, "cli") as database:
            await cut_short(database.check_writable(), awaits)
            gc.collect()
            await database.check_writable()


async def test_a_database_is_closed_to_the_end_also_where_its_user_is_interrupted_meanwhile(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closed = asyncio.Event(), []

    async def use() -> None:
        async with open_database(database_url, "cli") as database:
            close = database.close

            async def watched() -> None:
                begun.set()
                await asyncio.sleep(0.01)
                await close()
                closed.append(True)

            monkeypatch.setattr(database, "close", watched)

    using = asyncio.create_task(use())
    await begun.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert closed


async def test_an_exception_rolls_a_write_back(database: Database) -> None:
    async def fails() -> None:
        async with database.write() as conn:
            await conn.execute(insert(meta).values(key="half", value="done"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    async with database.read() as conn:
        assert await conn.scalar(select(func.count()).select_from(meta).where(meta.c.key == "half")) == 0


async def test_a_cancelled_writer_leaves_the_database_to_the_next(database: Database) -> None:
    inside = asyncio.Event()

    async def stalls() -> None:
        async with database.write() as conn:
            await conn.execute(insert(meta).values(key="half", value="done"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stalls())
    await inside.wait()
    waiting = asyncio.create_task(database.check_writable())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await waiting
    async with database.read() as conn:
        assert await conn.scalar(select(func.count()).select_from(meta).where(meta.c.key == "half")) == 0


async def test_writers_of_two_processes_take_turns(database_url: str) -> None:
    async def count_up(database: Database) -> None:
        for _ in range(20):
            async with database.write() as conn:
                query = select(meta.c.value).where(meta.c.key == "n").with_for_update()
                value = (await conn.execute(query)).scalar_one()
                await conn.execute(meta.update().where(meta.c.key == "n").values(value=str(int(value) + 1)))

    async with open_database(database_url, "cli") as one, open_database(database_url, "cli") as other:
        async with one.write() as conn:
            await conn.execute(insert(meta).values(key="n", value="0"))
        await asyncio.gather(count_up(one), count_up(other), count_up(one))
        async with other.read() as conn:
            assert await conn.scalar(select(meta.c.value).where(meta.c.key == "n")) == "60"


async def test_waiting_ends_when_another_process_stores_an_event(database_url: str) -> None:
    async with open_database(database_url, "cli") as listener, open_database(database_url, "cli") as sync:
        while await sync.wait_for_events(0.3):
            pass  # until all is quiet: on SQLite a fresh change is told twice
        waiting = asyncio.create_task(sync.wait_for_events(30))
        await asyncio.sleep(0)
        await listener.append([event("evt_1")])
        assert await asyncio.wait_for(waiting, 5)


async def test_an_event_between_two_waits_ends_the_second(database_url: str) -> None:
    async with open_database(database_url, "cli") as listener, open_database(database_url, "cli") as sync:
        assert await sync.wait_for_events(0)
        await listener.append([event("evt_1")])
        assert await sync.wait_for_events(5)


class TestSqlite:
    """What is about the file."""

    async def test_nobody_else_can_read_any_of_its_files(self, tmp_path: Path) -> None:
        previous = os.umask(0)
        try:
            async with open_database(f"sqlite:///{tmp_path}/new/ledger.db", "listener") as database:
                await database.append([event("evt_1")])
                files = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "new").iterdir()}
        finally:
            os.umask(previous)
        assert files == dict.fromkeys(
            ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock", "ledger.db.listener.lock"), 0o600
        )
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700

    async def test_the_file_is_set_up_for_safe_and_flat_writing(self, sqlite_url: str) -> None:
        async with open_database(sqlite_url, "cli") as database, database.write() as conn:
            values = {
                name: await conn.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "page_size", "wal_autocheckpoint")
            }
        assert values == {"journal_mode": "wal", "synchronous": 2, "page_size": 8192, "wal_autocheckpoint": 4000}

    async def test_a_reader_cannot_write(self, sqlite_url: str) -> None:
        async with open_database(sqlite_url, "cli") as database:
            with pytest.raises(StorageUnavailable):
                async with database.read() as conn:
                    await conn.execute(insert(meta).values(key="k", value="v"))

    @pytest.mark.parametrize("role", ["listener", "sync"])
    async def test_a_second_process_in_the_same_role_is_refused(self, sqlite_url: str, role: str) -> None:
        program = (
            "import asyncio, sys\n"
            "from storage.database import open_database\n"
            "async def main():\n"
            f"    async with open_database({sqlite_url!r}, {role!r}):\n"
            "        print('open', flush=True); sys.stdin.read()\n"
            "asyncio.run(main())"
        )
        first = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with first:
            assert first.stdout
            assert first.stdin
            assert first.stdout.readline() == "open\n"
            with pytest.raises(AlreadyRunning, match=f"a {role} process already runs on .*PostgreSQL"):
                async with open_database(sqlite_url, role):  # type: ignore[arg-type]
                    pass
            async with open_database(sqlite_url, "console"):
                pass
            first.stdin.close()
        assert first.returncode == 0
        async with open_database(sqlite_url, role):  # type: ignore[arg-type]
            pass

    async def test_a_reader_that_was_closed_does_not_let_the_wal_grow(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.sqlite._PRAGMAS", _PRAGMAS.replace("=4000", "=1000"))
        async with open_database(sqlite_url, "cli") as database:
            for number in range(60):
                await database.append([event(f"evt_{number}_{i}", body=b"x" * 2_000) for i in range(100)])
                async with database.read() as conn:
                    await conn.scalar(select(func.count()).select_from(journal))
            assert (tmp_path / "ledger.db-wal").stat().st_size < 2 * 1_000 * 8_192

    async def test_a_file_that_cannot_be_made_is_named(self) -> None:
        with pytest.raises(StorageUnavailable, match=r"ledger\.db cannot be opened"):
            await migrate("sqlite:////dev/null/ledger.db")

    async def test_another_process_that_keeps_the_lock_is_an_outage(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_database(sqlite_url, "cli") as one, open_database(sqlite_url, "cli") as other:
            monkeypatch.setattr("storage.sqlite.LOCK_WAIT_SECONDS", 0.05)
            async with one.write():
                with pytest.raises(StorageUnavailable, match="locked"):
                    await other.check_writable()
                with pytest.raises(StorageUnavailable, match="locked"):
                    await other.append([event("evt_1")])
            assert await other.append([event("evt_1")]) == [True]

    async def test_it_always_leads(self, sqlite_url: str) -> None:
        async with open_database(sqlite_url, "sync") as database:
            assert await database.try_lead()

    def test_an_old_version_is_told_and_a_mended_one_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 51, 2))
        assert "3.51.3" in (version_note() or "")
        monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 51, 3))
        assert version_note() is None


class TestPostgres:
    """What is about the server."""

    async def test_one_process_leads_until_it_ends(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as other:
            async with open_database(postgres_url, "sync") as leader:
                assert await leader.try_lead()
                assert await leader.try_lead()
                assert not await other.try_lead()
            assert await other.try_lead()

    async def test_all_of_a_process_lead_also_when_they_ask_at_the_same_moment(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as leader, open_database(postgres_url, "sync") as other:
            assert all(await asyncio.gather(*(leader.try_lead() for _ in range(10))))
            assert not any(await asyncio.gather(*(other.try_lead() for _ in range(10))))

    async def test_whoever_lost_its_connection_leads_no_more(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as leader, open_database(postgres_url, "cli") as other:
            assert await leader.try_lead()
            await _cut_all_others(other)
            assert await other.try_lead()
            with suppress(StorageUnavailable):  # where it has not noticed yet
                assert not await leader.try_lead()
            assert not await leader.try_lead()

    @pytest.mark.parametrize("use", [PostgresDatabase.try_lead, lambda database: database.wait_for_events(0)])
    async def test_a_connection_that_is_cut_off_without_a_word_is_made_anew(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch, use: Callable[[Database], Awaitable[bool]]
    ) -> None:
        monkeypatch.setattr(postgres, "_ASK_SECONDS", 0.5)
        async with _wire(postgres_url) as (url, cut_off), open_database(url, "sync") as database:
            assert await use(database)
            await use(database)
            cut_off()
            with pytest.raises(StorageUnavailable):
                await use(database)
            for _ in range(100):
                if await use(database):
                    return
                await asyncio.sleep(0.05)  # the server has to notice that the old one is gone
            raise AssertionError("it is not made anew")

    async def test_a_cut_connection_wakes_the_waiter_and_is_made_again(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as sync, open_database(postgres_url, "cli") as other:
            assert await sync.wait_for_events(5)
            assert not await sync.wait_for_events(0)
            await _cut_all_others(other)
            assert await sync.wait_for_events(5)
            while await sync.wait_for_events(0.1):
                pass
            await other.append([event("evt_1")])
            assert await sync.wait_for_events(5)

    async def test_whoever_appends_and_ends_at_once_wakes_the_waiter(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as sync:
            await _quiet(sync)
            for number in range(5):
                async with open_database(postgres_url, "cli") as other:
                    await other.append([event(f"evt_{number}")])
                    await asyncio.sleep(0)
                assert await sync.wait_for_events(1)
                await _quiet(sync)

    async def test_an_event_wakes_the_waiter_also_after_the_sender_s_connections_were_cut(
        self, postgres_url: str
    ) -> None:
        async with open_database(postgres_url, "sync") as sync, open_database(postgres_url, "cli") as other:
            await other.append([event("evt_1")])
            await _quiet(sync)
            await _cut_all_others(sync)
            await _quiet(sync)
            assert await other.append([event("evt_2")]) == [True]
            assert await sync.wait_for_events(1)

    async def test_a_body_of_a_usual_size_stands_in_its_row(self, postgres_url: str) -> None:
        apart = text("SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'journal'")
        async with open_database(postgres_url, "cli") as database:
            await database.append([event("usual", body=bytes(7_000))])
            async with database.read() as conn:
                assert await conn.scalar(apart) == 0
            await database.append([event("large", body=bytes(70_000))])
            async with database.read() as conn:
                assert await conn.scalar(apart) > 0

    async def test_many_events_wake_the_waiter_seldom_and_the_last_of_them_always(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "_TELL_PAUSE_SECONDS", 600)
        told: list[int] = []
        ear = await asyncpg.connect(postgres_url)
        async with open_database(postgres_url, "cli") as database:
            stored = 0
            await ear.add_listener("refund_ledger", lambda *_: told.append(stored))
            for stored in range(1, 51):
                assert await database.append([event(f"evt_{stored}")]) == [True]
        await ear.execute("SELECT 1")  # whatever was told before comes with its answer
        await ear.close()
        assert len(told) <= 2
        assert told[-1] == 50

    async def test_whoever_cannot_tell_of_events_has_stored_them_all_the_same(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tried = asyncio.Event()

        def no_connection() -> NoReturn:
            tried.set()
            raise StorageUnavailable("no connection is to be had")

        monkeypatch.setattr(postgres, "_TELL_PAUSE_SECONDS", 0)
        async with open_database(postgres_url, "cli") as database:
            with monkeypatch.context() as patch:
                patch.setattr(database, "write", no_connection)
                assert await database.append([event("evt_1")]) == [True]
                await tried.wait()
            assert await database.append([event("evt_2")]) == [True]
        assert "sync was not told" in caplog.text

    async def test_a_server_that_is_not_there_is_an_outage_and_the_text_holds_no_secret(self) -> None:
        with pytest.raises(StorageUnavailable) as raised:
            await migrate("postgresql://user:s3cret@127.0.0.1:1/ledger")
        assert "s3cret" not in str(raised.value)

    async def test_a_password_that_is_refused_is_an_outage(self, postgres_url: str) -> None:
        with pytest.raises(StorageUnavailable):
            await migrate(postgres_url.rsplit("/", 1)[0] + "/no_such_database")

    async def test_reading_and_writing_go_on_after_the_connections_were_cut(self, postgres_url: str) -> None:
        async with open_database(postgres_url, "sync") as database, open_database(postgres_url, "cli") as other:
            await database.check_writable()
            await _cut_all_others(other)
            with pytest.raises(StorageUnavailable):
                await database.check_writable()
            await database.check_writable()


async def _quiet(database: Database) -> None:
    while await database.wait_for_events(0.2):
        pass


@asynccontextmanager
async def _wire(server: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """An address that leads to the server, and how to cut off who called last: it stays open, and nothing comes."""
    place = urlsplit(server)
    calls: list[asyncio.Event] = []

    def cut_off() -> None:
        calls[-1].set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dead: asyncio.Event) -> None:
        while told := await reader.read(1 << 16):
            if not dead.is_set():
                writer.write(told)
        writer.close()

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(place.hostname, place.port)
        calls.append(dead := asyncio.Event())
        with suppress(OSError):
            await asyncio.gather(carry(reader, back, dead), carry(there, writer, dead))

    door = await asyncio.start_server(call, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    who = f"{place.netloc.rpartition('@')[0]}@" if "@" in place.netloc else ""
    async with door:
        yield urlunsplit(place._replace(netloc=f"{who}127.0.0.1:{port}")), cut_off


CUT_ALL_OTHERS = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def _cut_all_others(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(CUT_ALL_OTHERS)


async def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="neither sqlite"):
        await migrate("mysql://localhost/x")


async def test_a_database_that_is_newer_than_the_program_is_refused(database_url: str) -> None:
    async with open_database(database_url, "cli") as database, database.write() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StorageUnavailable, match="run the newer one"):
        await migrate(database_url)
