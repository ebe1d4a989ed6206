"""From the inbox to facts and marks, and everything that belongs together."""

import asyncio

import pytest

from ledger.facts import order_ref, payment_ref, refund_ref
from storage.database import Database, open_database
from storage.dead_letters import count_backlog, count_dead_letters, list_dead_letters, redrive
from storage.facts import (
    add_marks,
    claim_inbox,
    claim_marks,
    count_due,
    delete_marks,
    events_after,
    facts_after,
    facts_told,
    load_component,
    load_events,
    next_due,
    replace_facts,
    store_facts,
)
from tests.storage.build import NOW, event, order, refund, told


async def test_facts_leave_the_inbox_and_mark_what_they_touch(database: Database) -> None:
    first, second = await told(database, [refund("re_1"), order("1001")], [refund("re_2")])
    async with database.read() as conn:
        assert await count_backlog(conn) == 0
        assert await claim_inbox(conn, 10) == []
        marks = await claim_marks(conn, NOW, 10)
        stored = await facts_after(conn, 0, 10)
    assert [(mark.ref, mark.journal_id, mark.since) for mark in marks] == [
        (refund_ref("stripe", "re_1"), first.event.id, NOW),
        (order_ref("shop", "1001"), first.event.id, NOW),
        (refund_ref("stripe", "re_2"), second.event.id, NOW),
    ]
    assert [(one.fact, one.journal_id) for one in stored] == [
        (refund("re_1"), first.event.id),
        (order("1001"), first.event.id),
        (refund("re_2"), second.event.id),
    ]


async def test_an_event_that_says_nothing_leaves_the_inbox(database: Database) -> None:
    await told(database, [])
    async with database.read() as conn:
        assert await count_backlog(conn) == await count_due(conn, NOW) == 0


async def test_a_failure_while_facts_are_stored_leaves_the_event_in_the_inbox(database: Database) -> None:
    async def fails() -> None:
        async with database.write() as conn:
            await store_facts(conn, [(one, [refund("re_1")]) for one in await claim_inbox(conn, 10)], [], NOW)
            raise RuntimeError

    await database.append([event("evt_1")])
    with pytest.raises(RuntimeError):
        await fails()
    async with database.read() as conn:
        assert await count_backlog(conn) == 1
        assert await load_component(conn, [refund_ref("stripe", "re_1")]) == []


async def test_the_inbox_is_claimed_from_the_oldest_on(database: Database) -> None:
    await database.append([event(f"evt_{i}") for i in range(5)])
    async with database.write() as conn:
        assert [one.event.key for one in await claim_inbox(conn, 2)] == ["evt_0", "evt_1"]


async def test_two_workers_claim_different_events_and_marks(postgres_url: str) -> None:
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        await told(one, *([refund(f"re_{i}")] for i in range(6)))
        await one.append([event(f"evt_{i}") for i in range(6)])
        async with one.write() as first, other.write() as second:
            assert len(await claim_inbox(first, 4)) == 4
            assert [one.event.key for one in await claim_inbox(second, 4)] == ["evt_4", "evt_5"]
            mine, theirs = await claim_marks(first, NOW, 4), await claim_marks(second, NOW, 4)
            assert (len(mine), len(theirs)) == (4, 2)
            assert not {mark.id for mark in mine} & {mark.id for mark in theirs}


async def test_two_workers_that_store_the_halves_at_once_mark_both(postgres_url: str) -> None:
    async def store_half(database: Database, inside: asyncio.Barrier, number: int) -> None:
        async with database.write() as conn:
            (received,) = await claim_inbox(conn, 1)
            await inside.wait()  # each holds its event before either has stored anything
            half = (
                refund(f"re_{number}", f"pi_{number}") if received.event.key == "half" else order("1", f"pi_{number}")
            )
            await store_facts(conn, [(received, [half])], [], NOW)

    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        for number in range(20):
            await one.append([event("half", f"a{number}"), event("other half", f"b{number}")])
            inside = asyncio.Barrier(2)
            await asyncio.gather(store_half(one, inside, number), store_half(other, inside, number))
            async with one.write() as conn:
                marks = await claim_marks(conn, NOW, 10)
                component = await load_component(conn, {mark.ref for mark in marks[:1]})
                await delete_marks(conn, [mark.id for mark in marks])
            assert len(marks) == 2
            assert {type(found.fact).__name__ for found in component} >= {"RefundFact", "OrderFact"}


async def test_a_locked_reference_keeps_the_other_worker_off_and_then_shows_what_was_committed(
    postgres_url: str,
) -> None:
    refs = [payment_ref("pi_1"), refund_ref("stripe", "re_1")]
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        await one.append([event("evt_1")])
        async with one.write() as first:
            await one.lock(first, refs)

            async def second_worker() -> int:
                async with other.write() as second:
                    assert await load_component(second, refs) == []
                    waits.set()
                    await other.lock(second, refs[::-1])
                    return len(await load_component(second, refs))

            waits = asyncio.Event()
            second = asyncio.create_task(second_worker())
            await waits.wait()
            await store_facts(first, [(one_, [refund("re_1")]) for one_ in await claim_inbox(first, 1)], [], NOW)
            assert not second.done()
        assert await second == 1


async def test_a_component_is_everything_that_hangs_together(database: Database) -> None:
    """re_1 and re_2 share a payment with order 1001; re_3 names order 1002 by its text, which has a payment of re_4."""
    await told(
        database,
        [refund("re_1", "pi_1"), refund("re_2", "pi_1")],
        [order("1001", "pi_1")],
        [refund("re_3", "pi_3", ["1002"])],
        [order("1002", "pi_4", ["1002"])],
        [refund("re_4", "pi_4")],
        [refund("re_5", "pi_5")],
    )
    async with database.read() as conn:
        assert await _names(conn, refund_ref("stripe", "re_2")) == {"re_1", "re_2", "1001"}
        assert await _names(conn, refund_ref("stripe", "re_4")) == {"re_3", "re_4", "1002"}
        assert await _names(conn, payment_ref("pi_5"), payment_ref("pi_1")) == {"re_1", "re_2", "re_5", "1001"}
        assert await _names(conn, payment_ref("pi_unknown")) == set()


async def test_two_refunds_with_the_same_text_for_their_order_are_not_one_component(database: Database) -> None:
    await told(database, [refund("re_1", "pi_1", ["n/a"])], [refund("re_2", "pi_2", ["n/a"])])
    async with database.read() as conn:
        assert await _names(conn, refund_ref("stripe", "re_1")) == {"re_1"}


async def _names(conn: object, *refs: int) -> set[str]:
    component = await load_component(conn, refs)  # type: ignore[arg-type]
    return {getattr(one.fact, "order_id", "") or getattr(one.fact, "id", "") for one in component}


async def test_time_driven_marks_wait_for_their_time(database: Database) -> None:
    async with database.write() as conn:
        await add_marks(conn, [(NOW + 20, 2), (NOW + 10, 1), (NOW + 10, 1)])
    async with database.write() as conn:
        assert await next_due(conn) == NOW + 10
        assert await claim_marks(conn, NOW, 10) == []
        (mark,) = await claim_marks(conn, NOW + 10, 10)
        assert (mark.ref, mark.journal_id, mark.since) == (1, None, NOW + 10)
        await delete_marks(conn, [mark.id])
        assert (await next_due(conn), await count_due(conn, NOW + 20)) == (NOW + 20, 1)
        await delete_marks(conn, [mark.id for mark in await claim_marks(conn, NOW + 20, 10)])
        assert await next_due(conn) is None


async def test_what_is_not_understood_is_set_aside_and_can_be_tried_again(database: Database) -> None:
    async def set_aside(reason: str) -> None:
        async with database.write() as conn:
            await store_facts(conn, [], [(one, reason) for one in await claim_inbox(conn, 10)], NOW)

    await database.append([event("evt_1"), event("evt_2")])
    await set_aside("no \0 amount")
    async with database.write() as conn:
        letters = await list_dead_letters(conn, 10)
        assert [(letter.source, letter.reason, letter.attempts) for letter in letters] == [
            ("stripe", "no ? amount", 1)
        ] * 2
        assert await list_dead_letters(conn, 10, letters[0].journal_id) == letters[1:]
        assert await redrive(conn, [letters[0].journal_id, 999]) == [letters[0].journal_id]
        assert (await count_dead_letters(conn), await count_backlog(conn)) == (1, 1)
        assert await redrive(conn, [letters[0].journal_id]) == []
    await set_aside("still not")
    async with database.write() as conn:
        assert [(one.reason, one.attempts) for one in await list_dead_letters(conn, 1)] == [("still not", 2)]
        await redrive(conn, [letters[0].journal_id])
        again = await claim_inbox(conn, 10)
        assert [one.attempts for one in again] == [2]
        await store_facts(conn, [(one, [refund("re_1")]) for one in again], [], NOW)
    async with database.read() as conn:
        assert await list_dead_letters(conn, 10) == letters[1:]
        assert await count_due(conn, NOW) == 1


async def test_facts_told_anew_take_the_place_of_the_former(database: Database) -> None:
    first, second = await told(database, [refund("re_1", "pi_1"), refund("re_2", "pi_1")], [order("1001", "pi_1")])
    async with database.write() as conn:
        await delete_marks(conn, [mark.id for mark in await claim_marks(conn, NOW, 10)])
        await replace_facts(conn, [(first, [refund("re_3", "pi_3")])], NOW)
    async with database.read() as conn:
        assert await facts_told(conn, [first.event.id, second.event.id, 999]) == {
            first.event.id: [refund("re_3", "pi_3")],
            second.event.id: [order("1001", "pi_1")],
        }
        assert await _names(conn, payment_ref("pi_1")) == {"1001"}
        assert await _names(conn, payment_ref("pi_3")) == {"re_3"}
        touched = {mark.ref for mark in await claim_marks(conn, NOW, 10)}
        assert touched == {refund_ref("stripe", f"re_{i}") for i in (1, 2, 3)}


async def test_journal_and_facts_can_be_read_from_the_beginning_in_pages(database: Database) -> None:
    await told(database, *([refund(f"re_{i}")] for i in range(5)))
    async with database.read() as conn:
        events = await events_after(conn, 0, 3)
        events += await events_after(conn, events[-1].event.id, 3)
        facts = await facts_after(conn, 0, 3)
        facts += await facts_after(conn, facts[-1].id, 3)
        assert await load_events(conn, [one.event.id for one in reversed(events)]) == events
        assert await facts_told(conn, []) == {}
    assert len(events) == len(facts) == 5
    assert [one.journal_id for one in facts] == [one.event.id for one in events]
