"""The loop's own pace: how far it interprets before it pairs, and that it stops only when nothing is left."""

import pytest

from storage.database import Database
from storage.facts import count_due
from sync import interpret, work
from sync.metrics import Metrics
from sync.work import Worker
from tests.sync.build import LATER, RULES, SOURCES, deliver, derived, history, ledger, order, refund


@pytest.fixture
def worker(database: Database, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """One that interprets three events at a time, and nine before it pairs."""
    monkeypatch.setattr(interpret, "BATCH", 3)
    monkeypatch.setattr(work, "BATCH", 3)
    monkeypatch.setattr(work, "AHEAD", 9)
    return Worker(database, SOURCES, RULES, Metrics(), lambda: LATER)


async def due(database: Database) -> int:
    async with database.read() as conn:
        return await count_due(conn, LATER)


async def test_few_events_are_paired_at_once(database: Database, worker: Worker) -> None:
    await deliver(database, refund(), order())
    assert await worker.step()
    assert [entry.status for entry in (await ledger(database)).values()] == ["matched"]
    assert not await worker.step()


async def test_what_waits_in_a_long_line_is_interpreted_before_it_is_paired(database: Database, worker: Worker) -> None:
    await deliver(database, refund(), *(order(n) for n in range(2, 8)), order(1))
    for interpreted in (3, 6):
        assert await worker.step()
        assert (await due(database), await ledger(database)) == (interpreted, {})
    assert await worker.step()
    [entry] = [e for e in (await ledger(database)).values() if e.gateway_refunds]
    assert len(await history(database, entry.id)) == 1


async def test_it_pairs_before_the_line_is_at_its_end(database: Database, worker: Worker) -> None:
    await deliver(database, *(refund(n, payment=f"pi_{n}") for n in range(20)))
    for _ in range(3):
        assert await worker.step()
    assert (len(await ledger(database)), await due(database)) == (9, 0)


async def test_it_goes_on_until_nothing_is_left(database: Database, worker: Worker) -> None:
    events = [told for n in range(20) for told in (refund(n, payment=f"pi_{n}"), order(n))]
    await deliver(database, *events[::2], *events[1::2])
    steps = 0
    while await worker.step():
        steps += 1
    assert steps < len(events)
    assert await ledger(database) == await derived(database)
    assert len(await ledger(database)) == 20
    assert await due(database) == 0
