"""What the journal holds of one customer is removed; the money stays."""

import json
from base64 import encodebytes
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

import storage.sqlite
import sync.forget
from ledger.instants import DAY
from sources.registry import policy
from storage.database import Database, NewEvent, StorageUnavailable, open_database
from storage.dead_letters import list_dead_letters
from storage.decisions import Intent, record
from storage.journal import Journal
from storage.retention import cut_bodies
from storage.schema import journal
from sync.forget import forget, of_address, of_order
from sync.work import settle
from tests.sync.build import LATER, configured, deliver, history, ledger, order, refund, work_off


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
        naming(order(1), "Jane+Doe@example.com"),
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


async def test_an_order_of_the_same_number_in_another_store_is_somebody_else_s(database: Database) -> None:
    more = {"sources__second__kind": "infigo", "sources__second__webhook_token": "token-of-the-second"}
    two_stores = configured(sources__stripe__order_keys='["order_id"]', **more)
    number = {"order_id": "1001"}
    theirs = order(1, CaptureTransactionId="pi_9", key="of-the-second")._replace(source="second")
    await deliver(
        database,
        order(1),
        refund(1, payment="pi_1", metadata=number),
        theirs,
        refund(9, payment="pi_9", metadata=number),
    )
    await settle(database, two_stores.sources, policy(two_stores, 0), lambda: LATER)
    assert {(e.store, e.status) for e in (await ledger(database)).values()} == {
        ("shop", "matched"),
        ("second", "matched"),
    }
    found = await of_order(database, "shop", "1001")
    assert (len(found.events), len(found.entries)) == (2, 1)
    await forget(database, found, "cli:ann", LATER)
    assert {key for key in await whole(database) if len(key) < 32} == {"of-the-second", "evt_re_9_None"}


async def test_a_payment_that_only_carries_the_order_s_number_belongs_to_it(database: Database) -> None:
    numbers = configured(sources__stripe__order_keys='["order_id"]')
    await deliver(database, order(1, None, CaptureTransactionId=None), refund(1, metadata={"order_id": "1001"}))
    await settle(database, numbers.sources, policy(numbers, 0), lambda: LATER)
    assert len((await of_order(database, "shop", "1001")).events) == 2


async def test_the_customer_of_an_order_that_a_refund_was_linked_to_by_mistake_is_somebody_else(
    database: Database,
) -> None:
    await two_customers(database)
    await deliver(database, refund(3, payment="pi_3"))
    await work_off(database)
    [stray] = [entry for entry in (await ledger(database)).values() if entry.reason == "order_unknown"]
    async with Journal(database) as operators:
        for number in ("1001", "1002"):
            link = Intent(stray.id, "link", "cli:ann", LATER, store="shop", order_id=number)
            await record(database, operators, link)
            await work_off(database)
    found = await of_order(database, "shop", "1001")
    assert (len(found.events), len(found.entries)) == (2, 1)
    found = await of_order(database, "shop", "1002")
    assert (len(found.events), len(found.entries)) == (5, 2)


async def test_what_was_done_is_in_the_audit_trail(database: Database) -> None:
    await two_customers(database)
    found = await of_order(database, "shop", "1001")
    await forget(database, found, "cli:ann", LATER)
    await work_off(database)
    [entry_id] = found.entries
    last = (await history(database, entry_id))[-1]
    assert last.actor == "cli:ann"
    assert "personal data was removed" in str(last.change)


@pytest.mark.parametrize(
    "written",
    [
        "jane+doe@example.com",
        "JANE+Doe@Example.com",
        "jane\\u002Bdoe\\u0040example.com",
        "mail:\\njane+doe@example.com.",
        "?to=jane%2bdoe%40example.com",
        "&lt;jane&#43;doe&#x40;example.com&gt;",
        f"bt_payload={quote(encodebytes(b'<email>jane+doe@example.com</email>' * 9))}",
    ],
)
async def test_an_address_is_found_however_it_is_written(
    database: Database, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync.forget, "PAGE", 2)
    await two_customers(database)
    await deliver(database, refund(3, payment="pi_3"), naming(order(3), written))
    await work_off(database)
    searched: list[int] = []
    found = await of_address(database, "jane+doe@example.com", searched.append)
    assert (searched[-1], len(found.events), len(found.entries)) == (6, 4, 2)
    await forget(database, found, "cli:ann", LATER)
    assert {key for key in await whole(database) if len(key) < 32} == {"evt_re_2_None", "order-2-3"}
    assert not (await of_address(database, "jane+doe@example.com", told_nothing)).events


@pytest.mark.parametrize(
    "written",
    ["joann@example.com", "jo.ann@example.com", "jo+ann@example.com", "ann@example.com.au", "ann@example.community"],
)
async def test_the_address_of_somebody_else_is_not_found(database: Database, written: str) -> None:
    await deliver(database, naming(order(1), written))
    await work_off(database)
    assert not (await of_address(database, "ann@example.com", told_nothing)).events


async def test_what_was_interrupted_is_found_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    async def once(conn: AsyncConnection, ids: Iterable[int], *, set_aside: bool) -> int:
        if done:
            raise StorageUnavailable("the database failed")
        done.append(await cut_bodies(conn, ids, set_aside=set_aside))
        return done[0]

    await deliver(database, naming(order(1), "jane@example.com"), refund(1))
    await work_off(database)
    found = await of_address(database, "jane@example.com", told_nothing)
    monkeypatch.setattr(sync.forget, "BATCH", 1)
    monkeypatch.setattr(sync.forget, "cut_bodies", once)
    with pytest.raises(StorageUnavailable):
        await forget(database, found, "cli:ann", LATER)
    monkeypatch.undo()
    again = await of_address(database, "jane@example.com", told_nothing)
    assert again.events == found.events
    assert await forget(database, again, "cli:ann", LATER) == 1
    assert not {key for key in await whole(database) if len(key) < 32}


async def test_no_copy_is_left_in_the_files_of_sqlite_while_others_have_them_open(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.sqlite, "_CHECKPOINT_TRIES", 2)
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent

    def copies() -> int:
        return sum(file.read_bytes().count(b"jane+doe@") for file in folder.iterdir() if file.is_file())

    async with open_database(sqlite_url, "listener") as listener, open_database(sqlite_url, "cli") as database:
        await deliver(listener, naming(order(1), "jane+doe@example.com"), refund(1))
        await work_off(listener)
        assert copies()
        found = await of_order(database, "shop", "1001")
        assert await forget(database, found, "cli:ann", LATER) == 2
        async with listener.read() as conn:
            await conn.execute(select(journal.c.id))
            assert not await database.drop_copies()
        assert await database.drop_copies()
        assert not copies()


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


async def test_what_can_never_be_understood_is_given_up_where_that_is_asked_for(database: Database) -> None:
    await deliver(database, naming(refund(1, amount=-1), "jane@example.com"))
    await work_off(database)
    found = await of_address(database, "jane@example.com", told_nothing)
    assert await forget(database, found, "cli:ann", LATER, set_aside=True) == 1
    assert await whole(database) == set()
    async with database.read() as conn:
        assert await list_dead_letters(conn, 10) == []


async def test_a_decision_that_names_the_address_is_counted_and_stays(database: Database) -> None:
    await two_customers(database)
    note = {"fact": "jane+doe@example.com called"}
    await deliver(database, NewEvent("operator", "n" * 32, "note", "operator", LATER, {}, json.dumps(note).encode()))
    found = await of_address(database, "jane+doe@example.com", told_nothing)
    assert found.decisions == 1
    await forget(database, found, "cli:ann", LATER)
    assert "n" * 32 in await whole(database)
