"""Events become facts once, whatever happens meanwhile."""
# ruff: noqa: ANN401 - what stands in for a step takes whatever the step takes

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Fact
from sources.base import Event
from sources.stripe import Stripe
from storage.database import Database, NewEvent, open_database
from storage.dead_letters import DeadLetter, count_backlog, count_dead_letters, list_dead_letters, redrive
from storage.facts import count_due
from sync import interpret, pair
from sync.interpret import interpret_batch
from sync.pair import pair_batch
from tests.sync.build import (
    LATER,
    RULES,
    SOURCES,
    deliver,
    derived,
    ledger,
    order,
    refund,
    stored_facts,
    whole_history,
    work_off,
)

POINTS = [
    (module, step, after)
    for module, steps in (
        (interpret, ["store_facts"]),
        (pair, ["write_entries", "write_orders", "add_marks", "delete_marks"]),
    )
    for step in steps
    for after in (False, True)
]
"""Where a process may die: before or after one of these steps."""

HALVES = [(refund(n, payment=f"pi_{n}"), order(n)) for n in range(1, len(POINTS) + 1)]
EVENTS = [event for halves in HALVES for event in halves]


async def backlog(database: Database) -> tuple[int, int]:
    """Events that wait, marks that are due."""
    async with database.read() as conn:
        return await count_backlog(conn), await count_due(conn, LATER)


async def dead_letters(database: Database) -> list[DeadLetter]:
    async with database.read() as conn:
        found = await list_dead_letters(conn, 100)
        assert await count_dead_letters(conn) == len(found)
        return found


async def test_events_leave_the_inbox_as_facts_and_marks(database: Database) -> None:
    await deliver(database, *EVENTS)
    received = await interpret_batch(database, SOURCES, LATER)
    assert [one.event.key for one in received] == [event.key for event in EVENTS]
    assert [fact.journal_id for fact in await stored_facts(database)] == [one.event.id for one in received]
    assert await backlog(database) == (0, len(EVENTS))
    assert await interpret_batch(database, SOURCES, LATER) == []


async def test_no_more_than_a_batch_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpret, "BATCH", 4)
    await deliver(database, *EVENTS)
    assert [len(await interpret_batch(database, SOURCES, LATER)) for _ in range(6)] == [4, 4, 4, 4, 4, 0]


async def test_what_is_not_understood_is_set_aside_and_the_rest_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    understand = Stripe.interpret

    def with_a_fault(source: Stripe, event: Event) -> list[Fact]:
        if b"re_3" in event.body:
            raise IndexError
        return understand(source, event)

    monkeypatch.setattr(Stripe, "interpret", with_a_fault)
    unreadable = NewEvent("stripe", "b", "refund.created", "webhook", LATER, {}, b'{"secret": "4242424242424242"')
    await deliver(database, refund(2, amount=-5), refund(3), refund(9)._replace(source="gone"), unreadable, *EVENTS[:2])
    await work_off(database)
    assert [(letter.reason, letter.attempts) for letter in await dead_letters(database)] == [
        ("amount is negative", 1),
        ("a fault in this program: IndexError", 1),
        ("its source is not configured any more", 1),
        ("the body is not JSON", 1),
    ]
    assert [entry.status for entry in (await ledger(database)).values()] == ["matched"]
    assert await backlog(database) == (0, 0)
    assert "4242424242424242" not in caplog.text


async def test_a_fault_in_what_an_event_leaves_open_stops_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_source: Stripe, event: Event, _facts: list[Fact]) -> list[str]:
        raise IndexError(event.body.decode())

    monkeypatch.setattr(Stripe, "askable", property(lambda _: True))
    monkeypatch.setattr(Stripe, "questions", fails)
    await deliver(database, *EVENTS[:2])
    await work_off(database)
    assert [entry.status for entry in (await ledger(database)).values()] == ["matched"]
    assert await backlog(database) == (0, 0)
    assert "what an event leaves open was not found" in caplog.text


async def test_a_dead_letter_is_redriven_after_the_mend(database: Database) -> None:
    await deliver(database, *EVENTS[:2])
    without_stripe = {"shop": SOURCES["shop"]}
    await interpret_batch(database, without_stripe, LATER)
    for attempts in (1, 2):
        [letter] = await dead_letters(database)
        assert letter.attempts == attempts
        async with database.write() as conn:
            assert await redrive(conn, [letter.journal_id]) == [letter.journal_id]
        assert await dead_letters(database) == []
        if attempts == 1:
            await interpret_batch(database, without_stripe, LATER)
    await work_off(database)
    assert await dead_letters(database) == []
    assert [entry.status for entry in (await ledger(database)).values()] == ["matched"]


async def test_hostile_content_stops_nothing(database: Database) -> None:
    texts: list[Any] = [
        "\0",
        "\ud800",
        "x" * 300,
        "n/a",
        "1e999999999",
        "' OR 1=1",
        "9" * 20,
        -1,
        True,
        [],
        {"a": {}},
        1e308,
    ]
    names = ("Id", "CaptureTransactionId", "OrderGuid", "PaymentMethodSystemName", "OrderTotal", "RefundedAmount",
             "CustomerCurrencyCode", "CreatedOnUtc", "PaymentStatus", "OrderStatus")  # fmt: skip
    hostile = [order(1, **{"key": None, name: text}) for name in names for text in texts]
    metadata = [refund(n, key=f"e{n}", metadata={"order_id": text}) for n, text in enumerate(texts)]
    await deliver(database, *hostile, *metadata, refund(100, payment="pi_7"), order(7))
    await work_off(database)
    assert await backlog(database) == (0, 0)
    matched = [entry for entry in (await ledger(database)).values() if entry.status == "matched"]
    assert "1007" in {entry.order_id for entry in matched}
    assert await ledger(database) == await derived(database)


class CrashError(Exception):
    """The process dies here."""


async def test_a_crash_repeats_nothing_and_loses_nothing(
    database: Database, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (module, step, after), halves in zip(POINTS, HALVES, strict=True):
        await deliver(database, *halves)
        with monkeypatch.context() as crash:
            crash.setattr(module, step, dying(getattr(module, step), after=after))
            with pytest.raises(CrashError):
                await work_off(database)
        await work_off(database)
    await equals_an_undisturbed_run(database, sqlite_url)


def dying(step: Callable[..., Awaitable[None]], *, after: bool) -> Callable[..., Awaitable[None]]:
    async def dies(*args: Any, **kwargs: Any) -> None:
        if after:
            await step(*args, **kwargs)
        raise CrashError

    return dies


async def test_a_crash_between_the_two_steps_loses_nothing(database: Database, sqlite_url: str) -> None:
    for number, halves in enumerate(HALVES):
        await deliver(database, *halves)
        await interpret_batch(database, SOURCES, LATER)
        assert len(await ledger(database)) == number
        await work_off(database)
    await equals_an_undisturbed_run(database, sqlite_url)


async def test_a_task_cancelled_at_any_statement_loses_nothing(
    database: Database, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(database, *EVENTS)
    monkeypatch.setattr(interpret, "BATCH", 4)
    monkeypatch.setattr(pair, "BATCH", 3)
    for number in itertools.count(1):
        left = itertools.count(number - 1, -1)

        def cancelled(
            execute: Callable[..., Any], working: asyncio.Task[None], left: Iterator[int] = left
        ) -> Callable[..., Any]:
            async def executes(*args: Any, **kwargs: Any) -> Any:
                if asyncio.current_task() is working and next(left) == 0:  # and not of who tells of events
                    working.cancel()
                return await execute(*args, **kwargs)

            return executes

        with monkeypatch.context() as kill:
            working = asyncio.create_task(once(database))
            for name in ("execute", "exec_driver_sql"):
                kill.setattr(AsyncConnection, name, cancelled(getattr(AsyncConnection, name), working))
            await asyncio.wait([working])
        if not working.cancelled():
            break
    assert number > 5
    await work_off(database)
    await equals_an_undisturbed_run(database, sqlite_url, same_steps=False)


async def once(database: Database) -> None:
    await interpret_batch(database, SOURCES, LATER)
    await pair_batch(database, RULES, LATER)


async def equals_an_undisturbed_run(database: Database, sqlite_url: str, *, same_steps: bool = True) -> None:
    assert await backlog(database) == (0, 0)
    async with open_database(sqlite_url.replace("ledger.db", "undisturbed.db"), "cli") as undisturbed:
        for halves in HALVES:
            await deliver(undisturbed, *halves)
            await work_off(undisturbed)
        assert await stored_facts(database) == await stored_facts(undisturbed)
        assert await ledger(database) == await ledger(undisturbed) == await derived(database)
        if same_steps:
            assert await whole_history(database) == await whole_history(undisturbed)
    for line in await whole_history(database):
        assert json.loads(line[2]) or line[7], "a line of history that says nothing"
