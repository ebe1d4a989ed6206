"""The benchmark runs, and what it fills a journal with is what the real path leaves."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.__main__ import measure
from bench.databases import KINDS, Databases
from bench.events import all_events
from bench.extent import Extent
from bench.fill import fill
from bench.pairing import configured
from bench.report import show, store
from storage.database import open_database
from storage.schema import meta, metadata
from sync.work import settle

NOW = 1_790_000_000_000_000
ORDERS = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Databases:
    return Databases(tmp_path_factory.mktemp("bench"), postgres)


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_filled_in_bulk_holds_the_rows_that_the_real_path_leaves(kind: str, made: Databases) -> None:
    filled, real = made.new(kind), made.new(kind)
    fill(filled, ORDERS, NOW, lambda _: None)

    asyncio.run(_take_the_real_path(real))

    left = asyncio.run(_rows(real))
    assert asyncio.run(_rows(filled)) == left
    assert {name: len(rows) for name, rows in left.items() if rows} == {
        "journal": 1000,
        "facts": 1000,
        "refs": 1400,
        "fact_refs": 3400,
        "entries": 200,
        "entry_history": 200,
        "orders": 200,
    }


@pytest.mark.parametrize(
    ("name", "rows", "title"),
    [
        ("ingest", 10, "Durable ingest"),
        ("pairing", 4, "Events interpreted and paired"),
        ("growth", 3, "Cost of an event"),
        ("memory", 6, "Resident memory"),
        ("backfill", 4, "Back-fill"),
    ],
)
def test_it_is_measured_shown_and_stored(name: str, rows: int, title: str, made: Databases, tmp_path: Path) -> None:
    figures = measure(made, Extent(1, 150, 150, 90, (250, 500), (250,), 20), [name], lambda _: None)
    console = Console(record=True, width=120)
    show(figures, console)
    stored, chart = store(figures, tmp_path / "results", datetime(2026, 11, 23, 12, tzinfo=UTC))

    assert title in console.export_text()
    assert stored.name == "2026-11-23T120000Z.json"
    assert len(json.loads(stored.read_text())[name]) == rows
    assert chart.read_bytes().startswith(b"\x89PNG")


async def _take_the_real_path(database_url: str) -> None:
    sources, rules = configured(NOW)
    async with open_database(database_url, "sync") as database:
        for event in all_events(range(ORDERS), NOW):
            await database.append([event])
        await settle(database, sources, rules, lambda: NOW)


async def _rows(database_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table; a reference stands for its id, which tells in which order references were met."""
    async with open_database(database_url, "cli") as database, database.read() as conn:
        rows = {
            table.name: [tuple(row) for row in await conn.execute(table.select().order_by(*table.primary_key))]
            for table in metadata.sorted_tables
            if table is not meta
        }
    named = dict(rows["refs"])
    rows["fact_refs"] = sorted((named[ref_id], fact_id) for ref_id, fact_id in rows["fact_refs"])
    return rows | {"refs": [(ref,) for ref in sorted(named.values())]}
