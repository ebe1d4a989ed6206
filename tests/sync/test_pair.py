"""Facts become entries with their history; by time, too; and what fails stops nothing else."""
# ruff: noqa: ANN401 - what stands in for a step takes whatever the step takes

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.derive import Derived, derive
from ledger.entries import Entry
from ledger.facts import Fact, RefundFact
from storage.database import Database, open_database
from storage.entries import find_entry
from storage.facts import _DUE, next_due
from storage.rows import insert_rows
from storage.schema import marks
from sync import pair
from sync.interpret import interpret_batch
from sync.pair import RETRY_AFTER, pair_batch
from tests.sync.build import (
    HOUR,
    LATER,
    RULES,
    SOURCES,
    at,
    decided,
    deliver,
    derived,
    history,
    ledger,
    only_entry,
    order,
    refund,
    work_off,
)


async def test_a_refund_and_its_order_make_one_entry(database: Database) -> None:
    await deliver(database, refund(), order())
    await work_off(database)
    entry = await only_entry(database)
    assert (entry.status, entry.order_id, entry.verified, entry.lag) == ("matched", "1001", True, HOUR)
    assert entry.explanation.endswith("equal amounts (order found by payment pi_1).")
    [line] = await history(database, entry.id)
    assert (line.at, line.caused_by, line.actor, line.status) == (LATER, (1, 2), None, "matched")
    assert line.explanation == entry.explanation


async def test_each_change_is_a_line_of_history_with_its_causes(database: Database) -> None:
    await deliver(database, refund())
    await work_off(database, at(3))
    await deliver(database, order())
    await work_off(database, at(4))
    await deliver(database, refund(status="failed"))
    await work_off(database, at(5))
    entry = await only_entry(database)
    lines = await history(database, entry.id)
    assert [(line.at, line.status, line.reason, line.caused_by) for line in lines] == [
        (at(3), "pending", "", (1,)),
        (at(4), "matched", "", (2,)),
        (at(5), "unmatched", "refund_failed", (3,)),
    ]
    assert lines[2].change == {
        "status": ["matched", "unmatched"],
        "reason": [None, "refund_failed"],
        "gateway_amount": [1500, 0],
        "gateway_refunds": [["stripe/re_1 succeeded"], ["stripe/re_1 failed"]],
    }


async def test_what_changes_nothing_writes_no_history(database: Database) -> None:
    await deliver(database, refund(), order())
    await work_off(database)
    await deliver(database, refund(key="again"), order(key="again"))
    await work_off(database)
    assert len(await history(database, (await only_entry(database)).id)) == 1


async def test_a_decision_is_a_line_with_the_operator_who_made_it(database: Database) -> None:
    await deliver(database, refund())
    await work_off(database)
    entry = await only_entry(database)
    await deliver(database, decided("note", entry, 40, text="seen"), decided("resolve", entry, 41))
    await work_off(database)
    assert (await only_entry(database)).status == "resolved"
    _, noted, resolved = await history(database, entry.id)
    assert (noted.actor, noted.decision_id, noted.change["note"]) == ("ann", "note-40", [None, "seen"])
    assert (resolved.actor, resolved.decision_id) == ("ann", "resolve-41")
    assert resolved.change["resolve"] == [None, "because"]


async def test_a_former_id_leads_to_the_current_entry_and_no_decision_is_told_twice(database: Database) -> None:
    await deliver(database, refund(2), order(refunded="30.00"))
    await work_off(database)
    former = await only_entry(database)
    assert (former.reason, former.anchor) == ("amount_mismatch", ("refund", "stripe", "re_2"))
    await deliver(database, decided("note", former))
    await work_off(database)
    await deliver(database, refund(1))
    await work_off(database)
    current = await only_entry(database)
    assert (current.status, current.anchor) == ("matched", ("refund", "stripe", "re_1"))
    async with database.read() as conn:
        assert await find_entry(conn, former.id) == current
    lines = await history(database, current.id)
    assert [line.decision_id for line in lines] == [None, "note-40", None, None]
    assert lines[-1].explanation == f"Continued as entry {current.id}."


async def test_what_waits_together_is_paired_once_however_far_apart_it_arrived(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair, "BATCH", 1)
    between = [order(number) for number in range(2, 30)]
    await deliver(database, refund(), *between, order(1))
    await interpret_batch(database, SOURCES, LATER)
    batch = await pair_batch(database, RULES, LATER)
    assert [mark.journal_id for mark in batch.marks] == [1, 30]
    [line] = await history(database, (await only_entry(database)).id)
    assert (line.status, line.caused_by) == ("matched", (1, 30))


async def test_time_alone_makes_an_entry_unmatched(database: Database) -> None:
    await deliver(database, refund())
    await work_off(database, at(3))
    entry = await only_entry(database)
    assert (entry.status, entry.due_at) == ("pending", at(26))
    assert (await pair_batch(database, RULES, at(26) - 1)).marks == []
    [mark] = (await pair_batch(database, RULES, at(26))).marks
    assert (mark.journal_id, mark.since) == (None, at(26))
    entry = await only_entry(database)
    assert (entry.status, entry.reason, entry.due_at) == ("unmatched", "order_unknown", None)
    assert (await history(database, entry.id))[1].caused_by == ()
    async with database.read() as conn:
        assert await next_due(conn) is None


async def test_due_marks_are_found_without_looking_at_the_others(database: Database) -> None:
    rows = [(at(n), n) for n in range(20_000)]
    async with database.write() as conn:
        await insert_rows(conn, marks, ("due_at", "ref"), rows)
        await conn.execute(text("ANALYZE"))
    explain = "EXPLAIN QUERY PLAN" if conn.dialect.name == "sqlite" else "EXPLAIN"
    query = _DUE.where(marks.c.due_at <= at(100)).limit(300).compile(
        dialect=conn.dialect, compile_kwargs={"literal_binds": True}
    )  # fmt: skip
    async with database.read() as conn:
        plan = "\n".join(str(row) for row in await conn.execute(text(f"{explain} {query}")))
    assert "marks_due" in plan
    assert "SCAN marks" not in plan
    assert "Seq Scan on marks" not in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


async def test_a_component_that_fails_is_tried_again_and_stops_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = True

    def derive_with_a_fault(facts: list[Fact], *args: Any) -> Derived:
        if failing and any(isinstance(fact, RefundFact) and fact.id == "re_2" for fact in facts):
            raise ZeroDivisionError
        return derive(facts, *args)

    monkeypatch.setattr(pair, "derive", derive_with_a_fault)
    await deliver(database, *(event for n in (1, 2, 3) for event in (refund(n, payment=f"pi_{n}"), order(n))))
    await work_off(database)
    assert {entry.order_id for entry in (await ledger(database)).values()} == {"1001", "1003"}
    failing = False
    await work_off(database, LATER + RETRY_AFTER - 1)
    assert len(await ledger(database)) == 2
    await work_off(database, LATER + RETRY_AFTER)
    assert await ledger(database) == await derived(database)
    assert len(await ledger(database)) == 3


async def test_a_batch_takes_few_locks(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has room for some 6,400 of them by default."""
    taken: list[int] = []
    write = pair._write

    async def counted(conn: AsyncConnection, batch: pair.Batch) -> None:
        counting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        taken.append((await conn.execute(counting)).scalar_one())
        await write(conn, batch)

    monkeypatch.setattr(pair, "_write", counted)
    async with open_database(postgres_url, "sync") as database:
        await database.append([event for n in range(150) for event in (refund(n, payment=f"pi_{n}"), order(n))])
        await work_off(database)
        assert len(await ledger(database)) == 150
    assert max(taken) <= 300


async def test_an_unlinked_refund_is_unknown_again(database: Database) -> None:
    await deliver(database, refund(payment="pi_9"), order())
    await work_off(database)
    stray = by_reason(await ledger(database))["order_unknown"]
    await deliver(database, decided("link", stray, 40, store="shop", order_id="1001"))
    await work_off(database)
    linked = await only_entry(database)
    assert (linked.status, linked.order_id, linked.id) == ("matched", "1001", stray.id)
    await deliver(database, decided("unlink", linked, 41))
    await work_off(database)
    assert set(by_reason(await ledger(database))) == {"order_unknown", "missing_in_gateway"}
    assert await ledger(database) == await derived(database)


def by_reason(entries: dict[str, Entry]) -> dict[str | None, Entry]:
    return {entry.reason: entry for entry in entries.values()}
