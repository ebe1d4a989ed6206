"""A ledger with a story in it, on each of the two databases."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import Ledger
from tests.postgres import create_database, drop_database


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Ledger:
    """A ledger whose database is empty."""
    return Ledger(tmp_path, database_url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger in which the story of the demonstration has happened; for tests that only look, or look at one order."""
    folder = tmp_path_factory.mktemp("ledger")
    server: str | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = asyncio.run(create_database(server)) if server else f"sqlite:///{folder}/ledger.db"
    ledger = Ledger(folder, url)
    asyncio.run(ledger.tell_the_story())
    yield ledger
    if server:
        asyncio.run(drop_database(server, url))
