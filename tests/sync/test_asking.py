"""Which orders are read again."""

from sync.changes import EntryChange
from sync.pair import _waiting
from tests.ledger.build import POLICY, entry, order, refund


def test_an_order_is_read_when_a_refund_first_points_at_it_and_for_as_long_as_an_entry_waits() -> None:
    placed = order(store="asked")
    failed = entry(placed, refund("re_1", status="failed"))
    waiting = entry(placed, refund("re_1"))
    matched = entry(placed, order("partially_refunded", 1500, hours=3, store="asked"), refund("re_1"))

    assert [e.status for e in (failed, waiting, matched)] == ["closed", "unmatched", "matched"]
    assert list(_waiting([EntryChange(None, failed)], POLICY)) == [("asked", "1001")]
    assert list(_waiting([EntryChange(failed, waiting)], POLICY)) == [("asked", "1001")]
    assert list(_waiting([EntryChange(waiting, matched)], POLICY)) == []


def test_an_order_of_a_store_without_an_api_is_not_asked_for() -> None:
    assert list(_waiting([EntryChange(None, entry(order(), refund("re_1")))], POLICY)) == []
