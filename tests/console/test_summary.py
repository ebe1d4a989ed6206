"""The ledger in sums."""

from typing import Any

from ledger.instants import to_rfc3339
from tests.console.harness import Desk
from tests.ledger.build import at, order, refund


async def test_an_empty_ledger_sums_to_nothing(desk: Desk) -> None:
    assert await desk.get("/api/v1/summary") == {
        "entries": [],
        "sources": [],
        "open": 0,
        "oldest_open": None,
        "unconfigured": [],
        "journal_backlog_events": 0,
        "dead_letters": 0,
    }


async def test_counts_and_amounts_by_status_reason_and_currency(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500), refund("re_1"))
    await desk.tell(refund("re_2", 700, hours=9, payment_ids=()), refund("re_3", 800, hours=8, payment_ids=()))
    await desk.tell(refund("re_4", 500, payment_ids=(), currency="JPY", source="anet"))
    summary = await desk.get("/api/v1/summary")
    assert summary["entries"] == [
        {"status": "matched", "reason": None, "currency": "GBP", "count": 1, "at_stake": "0.00"},
        {"status": "unmatched", "reason": "order_unknown", "currency": "GBP", "count": 2, "at_stake": "15.00"},
        {"status": "unmatched", "reason": "order_unknown", "currency": "JPY", "count": 1, "at_stake": "500"},
    ]
    assert summary["sources"] == [
        {"source": "anet", "count": {"unmatched": 1}, "open": 1, "oldest_open": to_rfc3339(at(2))},
        {"source": "stripe", "count": {"matched": 1, "unmatched": 2}, "open": 2, "oldest_open": to_rfc3339(at(8))},
    ]
    assert (summary["open"], summary["oldest_open"]) == (3, to_rfc3339(at(2)))


async def test_nothing_is_at_stake_where_a_status_alone_agrees(desk: Desk) -> None:
    await desk.tell(order(), refund("re_1"), order("partially_refunded", hours=3))
    [alike] = (await desk.get("/api/v1/summary"))["entries"]
    assert (await desk.entry())["verified"] is False
    assert (alike["status"], alike["count"], alike["at_stake"]) == ("matched", 1, "0.00")


async def test_nothing_is_at_stake_where_an_order_is_not_cancelled_any_more(desk: Desk) -> None:
    await desk.tell(order(), order(cancelled=True, hours=2), order(hours=3))
    [alike] = (await desk.get("/api/v1/summary"))["entries"]
    assert (alike["status"], alike["count"], alike["at_stake"]) == ("closed", 1, "0.00")


async def test_what_is_closed_is_not_open(desk: Desk) -> None:
    await desk.tell(refund("re_1", status="failed"))
    summary = await desk.get("/api/v1/summary")
    assert (summary["entries"][0]["status"], summary["open"], summary["oldest_open"]) == ("closed", 0, None)


async def test_a_gateway_that_no_source_is_configured_for_is_told_once(desk: Desk) -> None:
    for number in ("1", "2"):
        by_paypal: dict[str, Any] = {"order_id": number, "method": "Payments.PayPal", "transactions": ()}
        await desk.tell(order(**by_paypal), order("partially_refunded", 1500, hours=3, **by_paypal))
    summary = await desk.get("/api/v1/summary")
    assert summary["unconfigured"] == [
        {"store": "shop", "method": "Payments.PayPal", "currency": "GBP", "count": 2, "amount": "30.00"}
    ]
    assert summary["open"] == 0
