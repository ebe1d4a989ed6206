"""What the console lists and sums: it costs little, however many entries there are."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import open_database
from storage.entries import open_amounts
from storage.exceptions import Chosen, count_opened, sum_chosen, worst_first

NOW = 1_000
CHOSEN = [
    Chosen(),
    Chosen("pending"),
    Chosen(snoozed=True),
    Chosen(reason="refund_failed", currency="GBP", assigned_to="ann"),
    Chosen(source="shop"),
]


async def ask(conn: AsyncConnection) -> None:
    """All that the exceptions and the overview ask."""
    for chosen in CHOSEN:
        await sum_chosen(conn, chosen, NOW)
        for order in ("worst", "largest"):  # the oldest come in order from another index
            await worst_first(conn, chosen, NOW, order, 50, 100)
    await count_opened(conn, [0, 5, 10], NOW)
    await open_amounts(conn)


async def test_open_entries_are_chosen_and_summed_from_an_index_alone(sqlite_url: str) -> None:
    asked: list[tuple[str, Any]] = []
    async with open_database(sqlite_url, "cli") as database, database.read() as conn:
        event.listen(conn.sync_engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
        await ask(conn)
        chosen = [(statement, values) for statement, values in asked if "WHERE entries.status" in statement]
        assert len(chosen) >= len(CHOSEN) * 3 + 2
        for statement, values in chosen:
            [plan, *_] = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            # A second gateway of an entry stands in its row only: those of the status are read.
            how = "SEARCH entries USING INDEX" if "source =" in statement else "COVERING INDEX entries_open"
            assert how in plan[-1], f"{statement}: {plan}"
