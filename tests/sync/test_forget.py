"""What the journal holds of one customer is removed; the money stays."""

import json

import pytest
from sqlalchemy import select

import sync.forget
from ledger.instants import DAY
from storage.database import Database, NewEvent
from storage.schema import journal
from sync.forget import forget, of_address, of_order
from tests.sync.build import LATER, deliver, history, ledger, order, refund, work_off


def told_nothing(_searched: int) -> None:
    """Of progress."""


def naming(event: NewEvent, written: str) -> NewEvent:
    """The event with an address in it, just as it is written."""
    return event._replace(body=event.body[:-1] + f', "CustomerEmail": "{written}"}}'.encode())


async def whole(database: Database) -> set[str]:
    """The keys of the events that have their bodies."""
    async with database.read() as conn:
        rows = await conn.execute(select(journal.c.event_key).where(journal.c.body != b""))
        return {row.event_key for row in rows}


async def two_customers(database: Database) -> None:
    """Each with an order and its refund, which agree."""
    await deliver(
        database,
        refund(1, payment="pi_1"),
        naming(order(1), "Jane.Doe@example.com"),
        refund(2, payment="pi_2"),
        naming(order(2), "john@example.com"),
    )
    await work_off(database)


async def test_all_that_belongs_to_an_order_loses_its_body(database: Database) -> None:
    await two_customers(database)
    before = await ledger(database)
    found = await of_order(database, "shop", "1001")
    assert (len(found.events), len(found.entries), found.open) == (2, 1, set())
    assert await forget(database, found, "cli:ann", LATER) == 2
    assert {key for key in await whole(database) if len(key) < 32} == {"evt_re_2_None", "order-2-3"}
    await work_off(database)
    after = await ledger(database)
    assert {id_: (e.status, e.gateway_refunds) for id_, e in after.items()} == {
        id_: (e.status, e.gateway_refunds) for id_, e in before.items()
    }


async def test_what_was_done_is_in_the_audit_trail(database: Database) -> None:
    await two_customers(database)
    found = await of_order(database, "shop", "1001")
    await forget(database, found, "cli:ann", LATER)
    await work_off(database)
    [entry_id] = found.entries
    last = (await history(database, entry_id))[-1]
    assert last.actor == "cli:ann"
    assert "2 events were cut" in str(last.change)


@pytest.mark.parametrize(
    "written", ["jane.doe@example.com", "JANE.DOE@Example.com", "jane.doe\\u0040example.com", "jane.doe%40example.com"]
)
async def test_an_address_is_found_however_it_is_written(
    database: Database, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync.forget, "PAGE", 2)
    await two_customers(database)
    await deliver(database, refund(3, payment="pi_3"), naming(order(3), written))
    await work_off(database)
    searched: list[int] = []
    found = await of_address(database, "jane.doe@example.com", searched.append)
    assert (searched[-1], len(found.events), len(found.entries)) == (6, 4, 2)
    await forget(database, found, "cli:ann", LATER)
    assert {key for key in await whole(database) if len(key) < 32} == {"evt_re_2_None", "order-2-3"}
    assert not (await of_address(database, "jane.doe@example.com", told_nothing)).events


async def test_open_entries_are_told(database: Database) -> None:
    await deliver(database, refund(1), naming(order(1, refunded="20.00"), "jane@example.com"))
    await work_off(database)
    found = await of_address(database, "jane@example.com", told_nothing)
    assert found.open == found.entries == set(await ledger(database))


async def test_what_is_not_understood_yet_keeps_its_body(database: Database) -> None:
    await deliver(database, naming(refund(1, amount=-1), "jane@example.com"))
    await work_off(database)
    await deliver(database, naming(refund(2), "jane@example.com"))
    found = await of_address(database, "jane@example.com", told_nothing)
    assert len(found.events) == 2
    assert await forget(database, found, "cli:ann", LATER + DAY) == 0
    assert len(await whole(database)) == 2


async def test_a_decision_that_names_the_address_is_counted_and_stays(database: Database) -> None:
    await two_customers(database)
    note = {"fact": "jane.doe@example.com called"}
    await deliver(database, NewEvent("operator", "n" * 32, "note", "operator", LATER, {}, json.dumps(note).encode()))
    found = await of_address(database, "jane.doe@example.com", told_nothing)
    assert found.decisions == 1
    await forget(database, found, "cli:ann", LATER)
    assert "n" * 32 in await whole(database)
