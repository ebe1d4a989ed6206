"""Worlds: with Stripe, or with both gateways."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database, open_database
from tests.polling.world import World


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """For what does not touch the database in a way of its own."""
    async with open_database(sqlite_url, "cli") as opened:
        yield opened


@pytest.fixture
async def world(on_sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """The shop with Stripe, on SQLite."""
    async with World(["stripe"]).open(on_sqlite, monkeypatch) as made:
        yield made


@pytest.fixture
async def both(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """The shop with Stripe and Authorize.net, on each database."""
    async with World(["stripe", "anet"]).open(database, monkeypatch) as made:
        yield made
