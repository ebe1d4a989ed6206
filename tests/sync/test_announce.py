"""What is to be told of a change: only transitions, each once, written down with the change itself."""

import asyncio
import json
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select

from ledger.derive import derive
from ledger.entries import Entry
from ledger.facts import Fact, RefundFact
from ledger.instants import Instant
from storage.database import Database, open_database
from storage.schema import outgoing_notices
from sync import announce as announcing
from sync.announce import NOBODY, NoticeRules, exception_events, notice_rules
from sync.changes import EntryChange, changes_of
from sync.work import settle
from tests.ledger.build import POLICY
from tests.ledger.histories import histories
from tests.storage.build import entry
from tests.sync.build import (
    LATER,
    RULES,
    SOURCES,
    at,
    by_id,
    configured,
    decided,
    deliver,
    fact_event,
    ledger,
    only_entry,
    order,
    refund,
)

ONE = NoticeRules(("ops",))


async def work(database: Database, now: Instant = LATER, rules: NoticeRules = ONE) -> None:
    await settle(database, SOURCES, RULES, lambda: now, rules)


async def events(database: Database) -> list[dict[str, Any]]:
    async with database.read() as conn:
        rows = await conn.execute(select(outgoing_notices.c.body).order_by(outgoing_notices.c.id))
    return [json.loads(body) for (body,) in rows]


async def told(database: Database) -> list[tuple[str, str | None]]:
    """What happened, and the reason that the entry has now."""
    return [(event["type"].removeprefix("exception."), _entry(event)["reason"]) for event in await events(database)]


def _entry(event: dict[str, Any]) -> dict[str, Any]:
    return dict(event["data"]["entry"])


async def test_an_exception_is_told_when_its_grace_is_over_and_not_before(database: Database) -> None:
    await deliver(database, refund(), order(1, None, PaymentStatus="Paid"))
    await work(database, at(3))
    assert await told(database) == []
    await work(database, at(30))
    assert await told(database) == [("opened", "missing_in_storefront")]
    [event] = await events(database)
    assert event["timestamp"] == "2025-03-02T06:00:00Z"
    assert (_entry(event)["order_id"], _entry(event)["gateway_amount"]) == ("1001", "15.00")
    assert [former["status"] for former in event["data"]["former"]] == ["pending"]
    await work(database, LATER)
    assert len(await told(database)) == 1


async def test_a_pair_that_agrees_is_no_news(database: Database) -> None:
    await deliver(database, refund(), order())
    await work(database)
    assert await told(database) == []


async def test_it_is_cleared_when_the_other_side_comes(database: Database) -> None:
    await deliver(database, refund(), order(1, "0.00", PaymentStatus="Paid"))
    await work(database)
    await deliver(database, order(1, "15.00", hours=40))
    await work(database)
    assert await told(database) == [("opened", "missing_in_storefront"), ("cleared", None)]


async def test_another_reason_is_told(database: Database) -> None:
    await deliver(database, refund(), order(1, "0.00", PaymentStatus="Paid"))
    await work(database)
    await deliver(database, order(1, "12.00", hours=40))
    await work(database)
    assert await told(database) == [("opened", "missing_in_storefront"), ("changed", "amount_mismatch")]


async def test_an_exception_that_goes_on_under_another_id_names_the_former_one(database: Database) -> None:
    await deliver(database, order())
    await work(database)
    [opened] = await events(database)
    await deliver(database, refund(hours=50))
    await work(database)
    [_, cleared] = await events(database)
    assert cleared["type"] == "exception.cleared"
    assert _entry(cleared)["id"] != _entry(opened)["id"]
    assert cleared["data"]["former"] == [
        {"id": _entry(opened)["id"], "status": "unmatched", "reason": "missing_in_gateway"}
    ]


async def test_one_of_which_nothing_is_left_is_cleared(database: Database) -> None:
    failed = RefundFact("stripe", "re_1", "refund", "failed", 1500, "GBP", at(2), at(9), ("pi_1",))
    await deliver(database, refund(), order(1, "0.00", PaymentStatus="Paid"))
    await work(database)
    await deliver(database, fact_event(failed))
    await work(database)
    assert [what for what, _ in await told(database)] == ["opened", "cleared"]


def test_an_exception_that_another_takes_in_is_over_also_where_that_one_stays_as_it_is() -> None:
    stays, over = (entry(n, status="unmatched", reason="missing_in_storefront") for n in (1, 2))
    changes = [EntryChange(stays, replace(stays, explanation="Both.")), EntryChange(over, None, stays.id)]
    [event] = exception_events(changes, LATER)
    assert event["type"] == "exception.changed"
    assert [former["id"] for former in event["data"]["former"]] == [stays.id, over.id]
    assert list(exception_events(changes[:1], LATER)) == []


async def test_resolving_clears_and_reopening_opens_it_and_a_note_is_no_news(database: Database) -> None:
    await deliver(database, refund())
    await work(database)
    for action, hours in (("note", 40), ("assign", 41), ("resolve", 42), ("reopen", 43)):
        await deliver(database, decided(action, await only_entry(database), hours))
        await work(database)
    assert [what for what, _ in await told(database)] == ["opened", "cleared", "opened"]


@settings(max_examples=60)
@given(histories(), st.lists(st.integers(0, 40), min_size=40, max_size=40))
def test_who_keeps_count_of_the_events_knows_what_is_unmatched(facts: list[Fact], hours: list[int]) -> None:
    standing: dict[str, Entry] = {}
    known: dict[str, str | None] = {}
    for number, now in enumerate(accumulate(hours[: len(facts)]), 1):
        derived = by_id(derive(facts[:number], POLICY, at(now)).entries)
        for event in exception_events(changes_of(standing, derived.values()), at(now)):
            for id_ in [_entry(event)["id"], *(former["id"] for former in event["data"]["former"])]:
                known.pop(id_, None)
            if event["type"] != "exception.cleared":
                known[_entry(event)["id"]] = _entry(event)["reason"]
        standing = derived
        assert known == {entry.id: entry.reason for entry in derived.values() if entry.status == "unmatched"}


async def test_each_receiver_has_its_own_message(database: Database) -> None:
    await deliver(database, refund())
    await work(database, rules=NoticeRules(("ops", "chat")))
    async with database.read() as conn:
        rows = list(await conn.execute(select(outgoing_notices.c.receiver, outgoing_notices.c.message_id)))
    assert {receiver for receiver, _ in rows} == {"ops", "chat"}
    assert len({message_id for _, message_id in rows}) == 2


async def test_what_happened_before_somebody_was_to_be_told_is_not_told(database: Database) -> None:
    await deliver(database, refund())
    await work(database, rules=NOBODY)
    await work(database)
    assert await told(database) == []


async def test_a_receiver_that_is_not_configured_any_more_is_forgotten(database: Database) -> None:
    await deliver(database, refund())
    await work(database, rules=NoticeRules(("ops", "chat")))
    kept = configured(NOTICES__CHAT__KIND="slack", NOTICES__CHAT__URL="https://chat.example.com/x")
    assert (await notice_rules(database, kept, LATER)).receivers == ("chat",)
    assert len(await events(database)) == 1


async def test_what_is_to_be_told_is_written_with_the_change_or_not_at_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullError(Exception):
        pass

    async def full(*_: object) -> None:
        raise FullError

    await deliver(database, refund())
    with monkeypatch.context() as patched:
        patched.setattr(announcing, "add_outgoing_notices", full)
        with pytest.raises(FullError):
            await work(database)
    assert await ledger(database) == {}
    await work(database)
    assert await told(database) == [("opened", "order_unknown")]


async def test_several_workers_tell_each_once(postgres_url: str) -> None:
    async with open_database(postgres_url, "sync") as one, open_database(postgres_url, "sync") as other:
        for number in range(40):
            await deliver(one, refund(number, payment=f"pi_{number}"))
        await asyncio.gather(work(one), work(other), work(one), work(other))
        entries = [_entry(event)["id"] for event in await events(one)]
        assert sorted(entries) == sorted(await ledger(one))
