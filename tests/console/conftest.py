"""A console for each test, on each database."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.console.harness import Desk, at_desk


@pytest.fixture
async def desk(database_url: str, database: Database) -> AsyncIterator[Desk]:
    """A console in this process, on each of the two databases."""
    async with at_desk(database_url, database) as desk:
        yield desk
