"""The ledger built anew beside the standing one: what differs is shown, and taken over as history."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import Retention
from ledger.entries import Entry, encode_entry
from ledger.facts import decode, encode
from ledger.instants import DAY, Instant
from ledger.policy import Policy
from storage.database import Database, open_database
from storage.entries import write_entries
from storage.facts import replace_facts
from storage.schema import dead_letters, entries, facts, inbox, journal, marks
from sync import replay as replaying
from sync.replay import Progress, ReplayReport, replay
from sync.retention import purge
from sync.server import now
from tests.sync.build import (
    LATER,
    at,
    configured,
    deliver,
    derived,
    ledger,
    order,
    refund,
    whole_history,
    work_off,
    working,
)

Tampering = Callable[[Database], Awaitable[None]]


@pytest.fixture
async def standing(database: Database) -> Database:
    """A ledger of three matched refunds and one that no order knows."""
    await deliver(database, *(event for n in (1, 2, 3) for event in (refund(n, payment=f"pi_{n}"), order(n))))
    await deliver(database, refund(4, payment="pi_4"))
    await work_off(database)
    return database


async def replayed(database: Database, url: str, *, from_bodies: bool = False, apply: bool = False) -> ReplayReport:
    return await replay(configured(url), from_bodies=from_bodies, apply=apply)


async def write(database: Database, *statements: object) -> None:
    async with database.write() as conn:
        for statement in statements:
            await conn.execute(statement)  # type: ignore[call-overload]


async def entry_of(database: Database, order_id: str | None) -> Entry:
    [entry] = [entry for entry in (await ledger(database)).values() if entry.order_id == order_id]
    return entry


async def changed(database: Database) -> None:
    entry = await entry_of(database, "1001")
    wrong = replace(entry, status="unmatched", reason="amount_mismatch", gateway_amount=7)
    await write(database, update(entries).where(entries.c.id == entry.id).values(body=encode_entry(wrong)))


async def deleted(database: Database) -> None:
    entry = await entry_of(database, "1002")
    await write(database, delete(entries).where(entries.c.id == entry.id))


async def added(database: Database) -> None:
    entry = await entry_of(database, "1003")
    async with database.write() as conn:
        await write_entries(conn, [replace(entry, id="f" * 32)])


async def added_from_nowhere(database: Database) -> None:
    entry = await entry_of(database, "1003")
    async with database.write() as conn:
        await write_entries(conn, [replace(entry, id="e" * 32, home=12345, order_id="9999")])


async def fact_changed(database: Database, **changes: object) -> None:
    async with database.read() as conn:
        id_, body = (await conn.execute(select(facts.c.id, facts.c.body).order_by(facts.c.id).limit(1))).one()
    wrong = encode(replace(decode(body), **changes))
    await write(database, update(facts).where(facts.c.id == id_).values(body=wrong))
    await work_off_again(database)


async def fact_deleted(database: Database) -> None:
    async with database.read() as conn:
        first = (await conn.execute(select(facts.c.id).order_by(facts.c.id).limit(1))).scalar_one()
    await write(database, delete(facts).where(facts.c.id == first))
    await work_off_again(database)


async def work_off_again(database: Database) -> None:
    """So that the ledger follows from the wrong facts."""
    homes = {entry.home for entry in (await ledger(database)).values()}
    await write(database, insert(marks).values([{"due_at": LATER, "ref": home} for home in sorted(homes)]))
    await work_off(database)


WRONG_LEDGER = [changed, deleted, added, added_from_nowhere]
WRONG_FACTS: list[Tampering] = [
    partial(fact_changed, amount=7),
    partial(fact_changed, payment_ids=("pi_elsewhere",)),
    fact_deleted,
]


@asynccontextmanager
async def sync_runs(url: str) -> AsyncIterator[None]:
    async with open_database(url, "sync") as database, working(database, now):
        yield


@pytest.mark.parametrize("beside", [nullcontext, sync_runs], ids=["alone", "beside sync"])
async def test_what_was_tampered_with_is_shown_and_mended(
    standing: Database, database_url: str, beside: Callable[[str], AbstractAsyncContextManager[None]]
) -> None:
    right = await ledger(standing)
    async with beside(database_url):
        assert not (await replayed(standing, database_url)).differences
        for tamper in WRONG_LEDGER:
            await tamper(standing)
            written = await whole_history(standing)
            [difference] = (await replayed(standing, database_url)).differences
            assert difference.standing != difference.rebuilt == right.get(difference.id)
            report = await replayed(standing, database_url, apply=True)
            assert (report.differences, report.applied) == ([difference], True)
            assert await ledger(standing) == right
            # History only grows.
            lines = await whole_history(standing)
            assert lines[: len(written)] == written
            assert {row[0] for row in lines[len(written) :]} == {difference.id}
        report = await replayed(standing, database_url, apply=True)
        assert (report.differences, report.applied) == ([], False)


@pytest.mark.parametrize("beside", [nullcontext, sync_runs], ids=["alone", "beside sync"])
async def test_facts_that_are_not_what_the_bodies_say_are_told_anew(
    standing: Database, database_url: str, beside: Callable[[str], AbstractAsyncContextManager[None]]
) -> None:
    right = await ledger(standing)
    for tamper in WRONG_FACTS:
        await tamper(standing)
        written = await whole_history(standing)
        assert await ledger(standing) != right
        async with beside(database_url):
            assert not (await replayed(standing, database_url)).differences
            report = await replayed(standing, database_url, from_bodies=True)
            assert report.reinterpreted == 1
            assert {d.id for d in report.differences if d.rebuilt != right.get(d.id)} == set()
            report = await replayed(standing, database_url, from_bodies=True, apply=True)
            assert report.applied
            assert await ledger(standing) == right == await derived(standing)
            report = await replayed(standing, database_url, from_bodies=True)
            assert (report.differences, report.reinterpreted) == ([], 0)
        assert (await whole_history(standing))[: len(written)] == written


async def test_many_facts_are_told_anew_a_few_at_a_time(
    standing: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = await ledger(standing)
    await write(standing, delete(facts))
    at_once: list[int] = []

    async def counted(conn: AsyncConnection, retold: Sequence[Any], now: Instant) -> None:
        at_once.append(len(retold))
        await replace_facts(conn, retold, now)

    monkeypatch.setattr(replaying, "replace_facts", counted)
    monkeypatch.setattr(replaying, "REPLACED_AT_ONCE", 2)
    report = await replayed(standing, database_url, from_bodies=True, apply=True)
    rebuilt, *taken_over = at_once  # beside the standing ledger nobody waits
    assert rebuilt == sum(taken_over) == report.reinterpreted
    assert max(taken_over) == 2
    assert report.applied
    assert await ledger(standing) == right


async def test_a_dead_letter_that_is_understood_by_now_is_told(standing: Database, database_url: str) -> None:
    await write(standing, update(journal).where(journal.c.id == 7).values(source="elsewhere"))
    await deliver(standing, order(4)._replace(source="elsewhere"))
    await work_off(standing)
    await write(standing, update(journal).where(journal.c.source == "elsewhere").values(source="shop"))
    await write(standing, update(journal).where(journal.c.id == 7).values(source="stripe"))
    report = await replayed(standing, database_url, from_bodies=True, apply=True)
    assert report.reinterpreted == 1
    assert (await entry_of(standing, "1004")).status == "matched"
    async with standing.read() as conn:
        assert (await conn.execute(select(dead_letters))).all() == []


async def test_the_facts_of_an_event_that_cannot_be_read_any_more_stand(standing: Database, database_url: str) -> None:
    await write(standing, update(journal).where(journal.c.id == 1).values(body=b""))
    report = await replayed(standing, database_url, from_bodies=True, apply=True)
    assert (report.differences, report.reinterpreted, report.applied) == ([], 0, False)


async def test_facts_that_were_written_before_they_had_a_field_are_what_the_bodies_say(
    standing: Database, database_url: str
) -> None:
    async with standing.write() as conn:
        for id_, body in (await conn.execute(select(facts.c.id, facts.c.body))).all():
            assert json.loads(body)[0] in ("refund", "order")
            shorter = json.dumps(json.loads(body)[:-1])
            assert decode(shorter) == decode(body)
            await conn.execute(update(facts).where(facts.c.id == id_).values(body=shorter))
    report = await replayed(standing, database_url, from_bodies=True)
    assert (report.differences, report.reinterpreted) == ([], 0)


async def test_what_is_not_worked_off_yet_is_counted_and_left_to_sync(standing: Database, database_url: str) -> None:
    await deliver(standing, order(4))
    for from_bodies in (False, True):
        report = await replayed(standing, database_url, from_bodies=from_bodies, apply=True)
        assert (report.differences, report.reinterpreted, report.waiting) == ([], 0, 1)
    async with standing.read() as conn:
        assert len((await conn.execute(select(inbox))).all()) == 1


async def test_an_entry_that_time_has_passed_by_is_shown_only_where_its_mark_is_lost(
    database: Database, database_url: str
) -> None:
    await deliver(database, refund())
    await work_off(database, at(3))
    report = await replayed(database, database_url)
    assert (report.differences, report.waiting) == ([], 1)
    await write(database, delete(marks))
    report = await replayed(database, database_url, apply=True)
    assert [(d.standing and d.standing.status, d.rebuilt and d.rebuilt.status) for d in report.differences] == [
        ("pending", "unmatched")
    ]
    [entry] = (await ledger(database)).values()
    assert (entry.status, entry.reason) == ("unmatched", "order_unknown")


@pytest.mark.parametrize("from_bodies", [False, True])
async def test_what_sync_does_meanwhile_is_no_difference(
    standing: Database, database_url: str, from_bodies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair_all = replaying._pair_all

    async def after_more_has_come(beside: Database, rules: Policy, as_of: Instant, progress: Progress) -> None:
        await deliver(standing, order(4), refund(5, payment="pi_1"))
        await work_off(standing)
        await pair_all(beside, rules, as_of, progress)

    monkeypatch.setattr(replaying, "_pair_all", after_more_has_come)
    report = await replayed(standing, database_url, from_bodies=from_bodies)
    assert (report.differences, report.reinterpreted) == ([], 0)
    assert (await entry_of(standing, "1004")).status == "matched"


async def test_of_events_without_bodies_the_stored_facts_stand_and_that_is_said(
    standing: Database, database_url: str
) -> None:
    retention = Retention.model_validate({"cut_bodies_after": "1d"})
    done = await purge(standing, retention, LATER + DAY)
    assert (done.cut, done.kept) == (6, 1)
    report = await replayed(standing, database_url, from_bodies=True)
    assert (report.cut, report.differences, report.reinterpreted) == (6, [], 0)
