"""A console for each test, on each database."""

from collections.abc import AsyncIterator

import pytest

import storage.decisions
from storage.database import Database
from tests.console.harness import Desk, at_desk


@pytest.fixture
async def desk(database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A console in this process, on each of the two databases. It waits for an effect for as long as it takes."""
    monkeypatch.setattr(storage.decisions, "WAIT_SECONDS", 60.0)
    async with at_desk(database_url, database) as desk:
        yield desk
