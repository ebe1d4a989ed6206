"""Which orders are suggested for a refund whose order is unknown."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.orders import KnownOrder, candidate_orders, write_orders
from tests.storage.build import NOW


def _order(id_: str, total: int, placed: int, currency: str = "GBP") -> KnownOrder:
    return KnownOrder("shop", id_, currency, total, NOW + placed, "paid", cancelled=False)


async def test_the_same_total_comes_first_then_larger_ones_each_nearest_in_time(database: Database) -> None:
    known = [
        _order("far", 1500, -900),
        _order("near", 1500, 10),
        _order("larger", 9000, -1),
        _order("smaller", 100, 0),
        _order("larger and later", 9000, 500),
        _order("foreign", 1500, 0, "EUR"),
    ]
    async with database.write() as conn:
        await write_orders(conn, known)
        found = await candidate_orders(conn, "GBP", 1500, NOW, 10)
        assert [one.order_id for one in found] == ["near", "far", "larger", "larger and later"]
        assert found[0] == known[1]
        assert [one.order_id for one in await candidate_orders(conn, "GBP", 1500, NOW, 1)] == ["near"]


async def test_an_order_is_known_as_it_was_told_last(database: Database) -> None:
    async with database.write() as conn:
        await write_orders(conn, [_order("1", 100, 0), _order("2", 100, 1)])
        await write_orders(conn, [_order("1", 200, 0)])
        assert [one.order_id for one in await candidate_orders(conn, "GBP", 100, NOW, 10)] == ["2", "1"]
        await write_orders(conn, [])


async def _written(conn: AsyncConnection) -> object:
    """What is another after a row was written."""
    seen = "total_changes()" if conn.dialect.name == "sqlite" else "max(xmin::text) FROM orders"
    return await conn.scalar(text(f"SELECT {seen}"))


async def test_an_order_of_which_nothing_new_is_told_is_not_written(database: Database) -> None:
    moved = _order("1", 100, 0)._replace(payment_status=None)
    async with database.write() as conn:
        await write_orders(conn, [moved])
    async with database.write() as conn:
        before = await _written(conn)
        await write_orders(conn, [moved])
        assert await _written(conn) == before
        for changed in ({"payment_status": "paid"}, {"cancelled": True}, {"total": 200}, {"placed_at": NOW + 1}):
            moved = moved._replace(**changed)
            await write_orders(conn, [moved])
            assert await candidate_orders(conn, "GBP", moved.total, NOW, 10) == [moved]
