"""What the tests of several rooms need."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from storage.database import Database, migrate, open_database
from tests.postgres import create_database, drop_database, postgres_server

# Examples are bounded by their number and never by seconds: on a busy machine, and in a fresh clone, where Hypothesis
# first reads the whole source, they take as long as they take.
settings.register_profile("counted", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("counted")


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`. One more than there are cores: a third of the time of the tests is waiting for processes."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server: the URL of its maintenance database."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> str:
    """A database with its schema, to be copied: to migrate one for each test would take most of the time of many."""

    async def made() -> str:
        url = await create_database(postgres)
        await migrate(url)
        return url

    return asyncio.run(made())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise on SQLite."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
async def postgres_url(postgres: str, postgres_template: str) -> AsyncIterator[str]:
    """A database on PostgreSQL with nothing but its schema."""
    url = await create_database(postgres, postgres_template)
    yield url
    await drop_database(postgres, url)


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite database with nothing but its schema."""
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database on each of the two with nothing but its schema."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database without any schema, on each of the two; on SQLite it does not exist yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
    else:
        server = request.getfixturevalue("postgres")
        url = await create_database(server)
        yield url
        await drop_database(server, url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with its schema, on each of the two."""
    async with open_database(database_url, "cli") as opened:
        yield opened
