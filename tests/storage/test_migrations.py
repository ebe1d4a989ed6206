"""Databases from before: what the newest schema makes of what stands in them."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select, text

from ledger.entries import encode_entry
from ledger.facts import encode, found_at
from storage.database import _connected, open_database
from storage.facts import load_component, store_told
from storage.schema import entries
from tests.ledger.build import at, decided, entry, refund

STRAY = refund("re_1", payment_ids=())
_ROW = text(
    "INSERT INTO entries (id, home, source, status, reason, currency, verified, opened_at, body)"
    " VALUES (:id, :home, 'stripe', 'unmatched', 'order_unknown', 'GBP', :verified, :opened_at, :body)"
)

_FACT = text("INSERT INTO facts (id, body) VALUES (:id, :body)")
_PLACE = text("INSERT INTO fact_refs (ref, fact_id) VALUES (:ref, :id)")


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
