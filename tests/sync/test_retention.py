"""Old events lose their bodies and are deleted later; what an open entry needs, and what was not understood, stays."""

import json
from hashlib import sha256

import pytest
from sqlalchemy import select

import sync.retention
from config.settings import Retention
from ledger.facts import encode
from ledger.instants import DAY, SECOND
from storage.database import Database, NewEvent
from storage.dead_letters import list_dead_letters
from storage.schema import journal
from sync.retention import Retaining, purge
from sync.supervise import Stop
from tests.sync.build import LATER, decided, deliver, ledger, order, refund, stored_facts, work_off

FOUR_HUNDRED_DAYS = LATER + 400 * DAY
CUT = Retention.model_validate({"cut_bodies_after": "100d"})
DELETE = Retention.model_validate({"cut_bodies_after": "100d", "delete_events_after": "200d"})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync.retention, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(sync.retention, "BATCH", 3)


async def bodies(database: Database) -> dict[str, bytes]:
    """What is in the journal: by key, the body."""
    async with database.read() as conn:
        rows = await conn.execute(select(journal.c.event_key, journal.c.body))
        return {row.event_key: row.body for row in rows}


def on_its_way(event: NewEvent, seconds: int = 1) -> NewEvent:
    """The event, arriving so long after it happened."""
    return event._replace(received_at=event.received_at + seconds * SECOND)


async def three_that_agree(database: Database) -> None:
    """The orders and refunds 1 to 3."""
    for number in (1, 2, 3):
        await deliver(database, *map(on_its_way, (refund(number, payment=f"pi_{number}"), order(number))))
    await work_off(database)


async def test_old_bodies_are_cut_and_hashes_facts_and_entries_stay(database: Database) -> None:
    await three_that_agree(database)
    before, facts, entries = await bodies(database), await stored_facts(database), await ledger(database)
    report = await purge(database, CUT, FOUR_HUNDRED_DAYS)
    assert (report.cut, report.deleted, report.kept) == (6, 0, 0)
    assert set((await bodies(database)).values()) == {b""}
    async with database.read() as conn:
        kept = await conn.execute(select(journal.c.event_key, journal.c.digest, journal.c.headers))
        assert {key: (digest, headers) for key, digest, headers in kept} == {
            key: (sha256(body).digest(), "{}") for key, body in before.items()
        }
    assert [encode(one.fact) for one in await stored_facts(database)] == [encode(one.fact) for one in facts]
    assert await ledger(database) == entries
    assert (await purge(database, CUT, FOUR_HUNDRED_DAYS)).cut == 0


async def test_what_is_younger_is_not_touched(database: Database) -> None:
    await three_that_agree(database)
    before = await bodies(database)
    assert (await purge(database, CUT, LATER)).cut == 0
    assert await bodies(database) == before


async def test_what_an_open_entry_needs_is_kept_until_it_is_closed(database: Database) -> None:
    await three_that_agree(database)
    await deliver(database, refund(4, payment="pi_4"), order(4, refunded="20.00"))
    await work_off(database)
    report = await purge(database, CUT, FOUR_HUNDRED_DAYS)
    assert (report.cut, report.kept) == (6, 2)
    assert sorted(key for key, body in (await bodies(database)).items() if body) == ["evt_re_4_None", "order-4-3"]

    [entry] = [e for e in (await ledger(database)).values() if e.status == "unmatched"]
    await deliver(database, decided("resolve", entry))
    await work_off(database)
    assert (await purge(database, CUT, FOUR_HUNDRED_DAYS)).cut == 2


async def test_what_waits_was_set_aside_or_was_decided_is_kept(database: Database) -> None:
    await deliver(database, refund(1, amount=-1), refund(2))
    await work_off(database)
    [entry] = (await ledger(database)).values()
    await deliver(database, decided("resolve", entry))
    await work_off(database)
    await deliver(database, refund(3))
    assert (await purge(database, DELETE, FOUR_HUNDRED_DAYS)).cut == 1
    assert sum(bool(body) for body in (await bodies(database)).values()) == 3
    async with database.read() as conn:
        assert len(await list_dead_letters(conn, 10)) == 1


async def test_a_cut_event_is_still_known_and_a_deleted_one_comes_to_the_same_ledger(database: Database) -> None:
    await three_that_agree(database)
    entries = await ledger(database)
    await purge(database, DELETE, FOUR_HUNDRED_DAYS)
    again = refund(1, payment="pi_1")
    assert await database.append([again]) == [False]
    report = await purge(database, DELETE, FOUR_HUNDRED_DAYS)
    assert (report.cut, report.deleted) == (0, 6)
    assert await bodies(database) == {}
    assert await ledger(database) == entries

    assert await database.append([again]) == [True]
    await work_off(database)
    assert await ledger(database) == entries


async def test_an_event_that_tells_no_time_stays_known_for_ever(database: Database) -> None:
    def told(key: str, refunded: str, hours: float) -> NewEvent:
        event = order(1, refunded, hours, key=key)
        return event._replace(body=json.dumps(json.loads(event.body) | {"occurred_at": None}).encode())

    first = told("order-a", "15.00", 3)
    await deliver(database, on_its_way(refund(1)), first, told("order-b", "20.00", 4))
    await deliver(database, on_its_way(refund(2, amount=500)))
    await work_off(database)
    before = await ledger(database)
    assert {entry.status for entry in before.values()} == {"matched"}
    await purge(database, DELETE, FOUR_HUNDRED_DAYS)
    assert (await purge(database, DELETE, FOUR_HUNDRED_DAYS)).deleted == 2
    # Stored once more, it would say that 5.00 of the 20.00 had been taken back.
    assert await database.append([first._replace(received_at=FOUR_HUNDRED_DAYS)]) == [False]
    assert set(await bodies(database)) == {"order-a", "order-b"}


async def test_a_dry_run_counts_and_changes_nothing(database: Database) -> None:
    await three_that_agree(database)
    before = await bodies(database)
    assert (await purge(database, CUT, FOUR_HUNDRED_DAYS, dry_run=True)).cut == 6
    assert await bodies(database) == before


async def test_nothing_is_done_where_nothing_is_configured(database: Database) -> None:
    await three_that_agree(database)
    report = await purge(database, Retention(), FOUR_HUNDRED_DAYS)
    assert (report.cut, report.deleted) == (0, 0)


async def test_the_loop_passes_over_what_is_old_and_ends_when_it_is_told(database: Database) -> None:
    await three_that_agree(database)
    stop = Stop()

    def now() -> int:
        stop.set()
        return FOUR_HUNDRED_DAYS

    # It was told to stop as it began: what is left is done by the next one.
    await Retaining(database, CUT, now).run(stop)
    assert await database.try_lead()
    await Retaining(database, CUT, lambda: FOUR_HUNDRED_DAYS)._pass()
    assert set((await bodies(database)).values()) == {b""}


async def test_a_young_event_among_old_ones_hides_none_of_them(database: Database) -> None:
    late = refund(9, payment="pi_9")._replace(received_at=FOUR_HUNDRED_DAYS)
    await deliver(database, late, refund(1, payment="pi_1"), order(1))
    await work_off(database)
    assert (await purge(database, CUT, FOUR_HUNDRED_DAYS)).cut == 2


async def test_pages_of_what_stays_for_ever_hide_nothing_behind_them(database: Database) -> None:
    await deliver(database, refund(4, payment="pi_4"))
    await work_off(database)
    [entry] = (await ledger(database)).values()
    await deliver(database, *(decided("note", entry, id=f"note-{n}") for n in range(7)))
    await three_that_agree(database)
    await purge(database, DELETE, FOUR_HUNDRED_DAYS)
    assert (await purge(database, DELETE, FOUR_HUNDRED_DAYS)).deleted == 6
    assert len(await bodies(database)) == 8
