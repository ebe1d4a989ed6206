"""An entry as the contract shows it."""

import pytest

from ledger.instants import Instant
from ledger.present import entry_json
from tests.ledger.build import LATER, at, decided, entry, order, paid, refund


def test_a_mismatch_shows_both_sides_and_the_difference() -> None:
    one = entry(refund("re_1", 1250), order(), order("partially_refunded", 1500, hours=5))
    [recorded] = one.storefront_refunds
    assert entry_json(one) == {
        "id": one.id,
        "store": "shop",
        "order_id": "1001",
        "status": "unmatched",
        "reason": "amount_mismatch",
        "verified": True,
        "currency": "GBP",
        "gateway_amount": "12.50",
        "storefront_amount": "15.00",
        "difference": "-2.50",
        "expected_amount": None,
        "gateway_refunds": [
            {"source": "stripe", "id": "re_1", "kind": "refund", "status": "succeeded", "amount": "12.50",
             "currency": "GBP", "at": "2026-11-01T02:00:00Z"}
        ],
        "storefront_refunds": [
            {"id": recorded.id, "amount": "15.00", "currency": "GBP", "at": "2026-11-01T05:00:00Z"}
        ],
        "opened_at": "2026-11-01T02:00:00Z",
        "matched_at": None,
        "lag_seconds": None,
        "due_at": None,
        "explanation": one.explanation,
        "suggestions": [],
        "resolution": None,
        "assigned_to": None,
        "snoozed_until": None,
        "unconfigured": None,
    }  # fmt: skip


def test_a_matched_entry_shows_its_lag_in_seconds() -> None:
    shown = entry_json(entry(refund("re_1"), order(), order("partially_refunded", 1500, hours=5)))
    assert (shown["matched_at"], shown["lag_seconds"], shown["difference"]) == ("2026-11-01T05:00:00Z", 10800, "0.00")


def test_a_side_without_members_is_null() -> None:
    shown = entry_json(entry(refund("re_1"), now=at(3)))
    assert (shown["storefront_refunds"], shown["storefront_amount"], shown["difference"]) == (None, None, None)
    assert (shown["store"], shown["order_id"], shown["due_at"]) == (None, None, "2026-11-02T02:00:00Z")


def test_a_cancelled_order_shows_what_has_to_go_back() -> None:
    shown = entry_json(entry(paid(7000), order(cancelled=True)))
    assert (shown["expected_amount"], shown["gateway_amount"], shown["storefront_amount"]) == ("70.00", None, None)
    assert (shown["gateway_refunds"], shown["storefront_refunds"]) == (None, None)


def test_each_side_of_a_currency_mismatch_has_its_own_decimals() -> None:
    one = entry(refund("re_1", 1250, currency="JPY"), order("partially_refunded", 1500, hours=5))
    shown = entry_json(one)
    assert (shown["currency"], shown["gateway_amount"], shown["storefront_amount"]) == ("JPY", "1250", "15.00")
    assert shown["difference"] is None


@pytest.mark.parametrize(("status", "now"), [("succeeded", at(6)), ("failed", LATER), ("pending", LATER)])
def test_amounts_in_different_currencies_are_never_compared(status: str, now: Instant) -> None:
    recorded = order("partially_refunded", 1500, hours=5)
    one = entry(refund("re_1", 1250, currency="JPY", status=status), recorded, now=now)
    assert one.reason != "currency_mismatch"
    assert entry_json(one)["difference"] is None
    assert one.amount_at_stake == (1250 if status == "succeeded" else None)


def test_what_is_not_known_is_null() -> None:
    shown = entry_json(entry(order("partially_refunded", hours=5, currency=None)))
    assert (shown["currency"], shown["storefront_amount"]) == (None, None)
    assert shown["storefront_refunds"][0]["amount"] is shown["storefront_refunds"][0]["currency"] is None


def test_suggestions_are_orders_with_a_reason() -> None:
    shown = entry_json(entry(refund("re_1"), order(), order(order_id="1002")))
    assert shown["suggestions"][0] == {"store": "shop", "order_id": "1001", "reason": "carries payment pi_1"}


def test_a_resolution_shows_who_why_and_when() -> None:
    seen = entry(refund("re_1"))
    shown = entry_json(entry(refund("re_1"), decided("resolve", seen), decided("snooze", seen, 101, until=at(200))))
    assert shown["resolution"] == {"by": "ann", "reason": "because", "at": "2026-11-05T04:00:00Z"}
    assert shown["snoozed_until"] == "2026-11-09T08:00:00Z"
