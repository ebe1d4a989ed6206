"""What is told of a database that fails can be looked up, and holds no data, no address and no secret."""

import socket
import sqlite3
import ssl
from contextlib import closing

import asyncpg
import pytest
from sqlalchemy import exc, text

from storage.database import StorageUnavailable, migrate, open_database
from storage.failures import why


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StorageUnavailable) as raised:
        await migrate("postgresql://user:s3cret@127.0.0.1:1/ledger")
    assert str(raised.value) == "the database failed: Connection refused"


async def test_a_server_that_does_not_know_the_database(postgres_url: str) -> None:
    with pytest.raises(StorageUnavailable) as raised:
        await migrate(postgres_url.rsplit("/", 1)[0] + "/no_such_database")
    assert str(raised.value) == "the database failed: invalid catalog name (3D000)"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("default_transaction_read_only = on", "read only sql transaction (25006)"),
        ("role = pg_monitor", "the user may not do this, let it own the database (42501)"),
    ],
)
async def test_what_fails_in_a_statement_is_named_too(postgres_url: str, setting: str, words: str) -> None:
    name = postgres_url.rsplit("/", 1)[1]
    async with open_database(postgres_url, "cli") as database, database.write() as conn:
        await conn.execute(text(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" SET {setting}'))
    with pytest.raises(StorageUnavailable) as raised:
        await written(postgres_url)
    assert str(raised.value) == f"the database failed: {words}"


async def written(url: str) -> None:
    async with open_database(url, "cli") as database:
        await database.check_writable()


def test_a_file_that_cannot_be_written() -> None:
    with closing(sqlite3.connect(":memory:")) as read_only:
        read_only.execute("PRAGMA query_only=1")
        with pytest.raises(sqlite3.Error) as raised:
            read_only.execute("CREATE TABLE t (c)")
    assert why(raised.value) == "attempt to write a readonly database (SQLITE_READONLY)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.7', 5432)"), "Connection refused"),
        (TimeoutError(), "no answer in time"),
        (ConnectionError("unexpected connection_lost() call"), "no connection (ConnectionError)"),
        (exc.TimeoutError("QueuePool limit"), "no connection was free in time"),
        (asyncpg.InterfaceError("what was sent"), "the connection broke (InterfaceError)"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] db.internal"), "TLS: SSLError"),
    ],
)
def test_what_was_quoted_is_left_out(error: Exception, words: str) -> None:
    assert why(error) == words
