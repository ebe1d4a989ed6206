"""Ledgers for the script: an empty one on each of the two databases, and one with a story in it."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.harness import Ledger


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Ledger:
    """A ledger whose database is empty."""
    return Ledger(tmp_path, database_url)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A ledger in which the story of the demonstration has happened; for tests that only look, or look at one order."""
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder, f"sqlite:///{folder}/ledger.db")
    asyncio.run(ledger.tell_the_story())
    return ledger
