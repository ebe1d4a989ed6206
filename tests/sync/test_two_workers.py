"""Several sync processes on one PostgreSQL database share the work, and cannot miss each other."""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import Entry
from storage.database import Database, NewEvent, open_database
from storage.facts import Received
from sync import interpret
from sync.interpret import interpret_batch
from sync.pair import pair_batch
from tests.sync.build import LATER, RULES, SOURCES, derived, ledger, order, refund, whole_history, work_off

ROUNDS, PAIRS = 50, 20


async def test_two_that_store_the_halves_of_a_pair_at_the_same_moment_find_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpret, "BATCH", PAIRS)
    both_stored = 0
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        for number in range(ROUNDS):
            # The first worker takes one half of each of the twenty, the second the other.
            halves = [_halves(number * PAIRS + n) for n in range(PAIRS)]
            await one.append([first for first, _ in halves])
            await one.append([second for _, second in halves])
            start = asyncio.Barrier(2)
            received = await asyncio.gather(_work(one, start), _work(other, start))
            both_stored += all(received)
        assert both_stored > ROUNDS * 0.9  # now and then one of them is quick enough to take both
        await work_off(one)
        entries = await ledger(one)
        assert Counter(entry.status for entry in entries.values()) == {"matched": ROUNDS * PAIRS}
        assert entries == await derived(one)
        await _history_ends_with(one, entries)


def _halves(number: int) -> tuple[NewEvent, NewEvent]:
    told = refund(number, payment=f"pi_{number}"), order(number)
    return told if number % 2 else told[::-1]


async def _work(database: Database, start: asyncio.Barrier) -> list[Received]:
    await start.wait()
    received = await interpret_batch(database, SOURCES, LATER)
    await pair_batch(database, RULES, LATER)
    return received


async def _history_ends_with(database: Database, entries: dict[str, Entry]) -> None:
    """What was written last of each id is how it stands, or that another one continues it."""
    last = {row[0]: row for row in await whole_history(database)}
    assert set(entries) <= set(last)
    for entry_id, row in last.items():
        ending = row[5].removeprefix("Continued as entry ").rstrip(".")
        assert (row[3] == entries[entry_id].status) if entry_id in entries else (ending in entries)


async def test_workers_in_each_others_way_end_with_the_same_ledger(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpret, "BATCH", 7)
    # Two hundred events about three payments: every batch wants what every other one holds.
    events = [refund(n, 100, hours=n % 9, payment=f"pi_{n % 3}") for n in range(100)]
    events += [order(n % 3, f"{n}.00", hours=n) for n in range(1, 101)]
    random.Random(1).shuffle(events)
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        for event in events:
            await one.append([event])
        await asyncio.gather(work_off(one), work_off(other), work_off(one), work_off(other))
        await work_off(one)
        entries = await ledger(one)
        assert entries == await derived(one)
        await _history_ends_with(one, entries)


async def test_what_another_one_stores_between_any_two_statements_is_paired(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, pairing = AsyncConnection.execute, asyncio.current_task()
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        for number in itertools.count(1):
            await one.append([refund(number)])
            await interpret_batch(one, SOURCES, LATER)
            await one.append([refund(number, status="failed"), order(number)])
            statements = 0

            async def interrupted(*args: Any, number: int = number, **more: Any) -> Any:  # noqa: ANN401
                nonlocal statements
                statements += asyncio.current_task() is pairing  # and not of who tells of events
                if statements == number:
                    monkeypatch.setattr(AsyncConnection, "execute", execute)
                    await interpret_batch(other, SOURCES, LATER)
                return await execute(*args, **more)

            monkeypatch.setattr(AsyncConnection, "execute", interrupted)
            await pair_batch(one, RULES, LATER)
            monkeypatch.setattr(AsyncConnection, "execute", execute)
            await work_off(one)
            assert await ledger(one) == await derived(one)
            if statements < number:
                break
        assert number > 10
