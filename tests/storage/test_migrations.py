"""Databases from before: what the newest schema makes of what stands in them."""

from hashlib import blake2b

from alembic import command
from alembic.config import Config
from msgspec.structs import replace
from sqlalchemy import Connection, select, text

from ledger.entries import encode_entry
from ledger.facts import Fact, encode, found_at, order_ref, refund_ref
from storage.database import _connected, open_database
from storage.entries import load_entries
from storage.facts import claim_marks, load_component, store_told
from storage.schema import entries, orders
from tests.ledger.build import at, decided, entry, order, refund

STRAY = refund("re_1", payment_ids=())
_ROW = text(
    "INSERT INTO entries (id, home, source, status, reason, currency, verified, opened_at, body)"
    " VALUES (:id, :home, 'stripe', 'unmatched', 'order_unknown', 'GBP', :verified, :opened_at, :body)"
)

_FACT = text("INSERT INTO facts (id, body) VALUES (:id, :body)")
_PLACE = text("INSERT INTO fact_refs (ref, fact_id) VALUES (:ref, :id)")
_ORDER = text(
    "INSERT INTO orders (ref, store, order_id, currency, total, placed_at, cancelled)"
    " VALUES (:ref, 'shop', '1001', 'GBP', 10000, 5, :cancelled)"
)
_MARK = text("INSERT INTO marks (due_at, ref) VALUES (5, :ref)")


def as_of(conn: Connection, revision: str) -> None:
    """The schema as it was then."""
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


async def test_what_was_snoozed_and_assigned_before_can_be_found(empty_url: str) -> None:
    seen = entry(STRAY)
    put_off = entry(STRAY, decided("snooze", seen, until=at(900)), decided("assign", seen, 101, text="bea"))
    former = _connected(empty_url, "cli")
    await former.create()
    async with former.write() as conn:
        await conn.run_sync(as_of, "0004")
        for id_, one in (("a", seen), ("b", put_off)):
            row = {
                "id": id_,
                "home": one.home,
                "verified": False,
                "opened_at": one.opened_at,
                "body": encode_entry(one),
            }
            await conn.execute(_ROW, row)
    await former.close()
    async with open_database(empty_url, "cli") as database, database.read() as conn:
        query = select(entries.c.id, entries.c.snoozed_until, entries.c.assigned_to).order_by(entries.c.id)
        assert (await conn.execute(query)).all() == [("a", None, None), ("b", at(900), "bea")]


async def test_facts_are_found_where_they_were(empty_url: str) -> None:
    told = {1: refund("re_1"), 2: refund("re_2"), 3: refund("re_3", payment_ids=("ch_9",)), 4: refund("re_1")}
    places = [{"id": id_, "ref": ref} for id_, fact in told.items() for ref in sorted(set(found_at(fact)))]
    former = _connected(empty_url, "cli")
    await former.create()
    async with former.write() as conn:
        await conn.run_sync(as_of, "0007")
        for id_, fact in told.items():
            await conn.execute(_FACT, {"id": id_, "body": encode(fact)})
        await conn.execute(_PLACE, places)
    await former.close()
    async with open_database(empty_url, "cli") as database, database.write() as conn:
        for shared, ids in (({found_at(told[1])[1]}, [1, 2, 4]), ({found_at(told[3])[0]}, [3])):
            assert [one.id for one in await load_component(conn, shared)] == ids
        assert (await conn.execute(text("SELECT count(*) FROM fact_refs"))).scalar_one() == len(places)
        await store_told(conn, [(5, refund("re_4"))], at(0))
        assert len(await load_component(conn, set(found_at(refund("re_4"))))) == 4


async def test_under_new_references_facts_entries_orders_and_marks_are_what_they_were(empty_url: str) -> None:
    former_home, former_order = _former("refund", "stripe", "re_1"), _former("order", "shop", "1001")
    standing = replace(entry(STRAY), home=former_home)
    told: dict[int, Fact] = {1 << 20: refund("re_1"), 2 << 20: order(), 3 << 20: decided("note", standing)}
    before = _connected(empty_url, "cli")
    await before.create()
    async with before.write() as conn:
        await conn.run_sync(as_of, "0008")
        await conn.execute(_FACT, [{"id": id_, "body": encode(fact)} for id_, fact in told.items()])
        await conn.execute(text("INSERT INTO refs (id, ref) VALUES (7, :ref)"), {"ref": former_home})
        await conn.execute(text("INSERT INTO fact_refs (ref_id, fact_id) VALUES (7, :id)"), {"id": 1 << 20})
        row = {"id": standing.id, "home": former_home, "verified": False, "opened_at": standing.opened_at}
        await conn.execute(_ROW, row | {"body": encode_entry(standing)})
        await conn.execute(_ORDER, {"ref": former_order, "cancelled": False})
        await conn.execute(_MARK, [{"ref": ref} for ref in (former_home, former_order, 42)])
    await before.close()
    home, of_order = refund_ref("stripe", "re_1"), order_ref("shop", "1001")
    assert (home, of_order) != (former_home, former_order)
    async with open_database(empty_url, "cli") as database, database.write() as conn:
        assert {one.id for one in await load_component(conn, {home})} == set(told)
        assert await load_entries(conn, {home}) == {standing.id: replace(standing, home=home)}
        assert (await conn.execute(select(orders.c.ref, orders.c.order_id))).all() == [(of_order, "1001")]
        assert [mark.ref for mark in await claim_marks(conn, at(0), 10)] == [home, of_order, 42]
        await store_told(conn, [(4 << 20, refund("re_2"))], at(0))
        assert len(await load_component(conn, {home})) == len(told) + 1


def _former(kind: str, *names: str) -> int:
    told = "\0".join((kind, *names)).encode()
    return int.from_bytes(blake2b(told, digest_size=8).digest(), signed=True)
