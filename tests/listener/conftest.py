"""A listener for each test, on each database."""

from collections.abc import AsyncIterator

import pytest

from tests.listener.harness import Front, configured, running


@pytest.fixture
async def front(database_url: str) -> AsyncIterator[Front]:
    """A listener in this process, on each of the two databases."""
    async with running(configured(database_url)) as front:
        yield front
