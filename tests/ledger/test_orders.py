"""Rule 1: snapshots of an order, and the refunds that they record."""

from typing import Any

import pytest

from ledger.facts import OrderFact
from ledger.orders import Order, fold_order, storefront_refunds
from tests.ledger.build import POLICY, at, order


def fold(*snapshots: OrderFact) -> Order:
    return fold_order(snapshots, POLICY)


def recorded(*snapshots: OrderFact, captured: int | None = 10000) -> list[tuple[int | None, int, bool]]:
    """Each recorded refund as its amount, its time in hours after T0, and whether an amount was told."""
    refunds = storefront_refunds(fold(*snapshots), captured)
    return [(r.amount, (r.at - at(0)) // (at(1) - at(0)), r.verified) for r in refunds]


def test_the_newest_snapshot_tells_what_the_order_is() -> None:
    known = fold(order("paid", hours=1, total=12000), order("refunded", hours=2, cancelled=True))
    assert (known.total, known.payment_status, known.cancelled) == (10000, "refunded", True)


def test_what_a_snapshot_does_not_tell_stays_as_it_was() -> None:
    known = fold(
        order("paid", hours=1, method="Payments.Stripe", placed_at=at(0), cancelled=True),
        order(None, hours=2, currency=None, total=None, cancelled=None, transactions=(), order_refs=()),
    )
    assert (known.currency, known.total, known.payment_status) == ("GBP", 10000, "paid")
    assert (known.method, known.placed_at, known.cancelled) == ("Payments.Stripe", at(0), True)
    assert (known.transactions, known.order_refs) == (("pi_1",), ("1001",))


@pytest.mark.parametrize(
    ("status", "was_paid"),
    [("pending", False), ("authorized", False), ("voided", False), (None, False), ("paid", True),
     ("partially_refunded", True), ("refunded", True)],
)  # fmt: skip
def test_an_order_was_paid_where_money_was_taken_for_it(status: str | None, was_paid: bool) -> None:
    assert fold(order(status), order("voided", hours=2)).was_paid is was_paid


def test_a_tie_in_time_goes_to_the_larger_content_hash() -> None:
    tie = [order("refunded", 10000, digest="b"), order("paid", digest="a")]
    assert fold(*tie).payment_status == fold(*tie[::-1]).payment_status == "refunded"


def test_a_snapshot_is_never_later_than_its_arrival() -> None:
    ahead = order("paid", 0, hours=50, arrived_at=at(1))
    assert recorded(ahead, order("refunded", 10000, hours=2)) == [(10000, 2, True)]


def test_a_snapshot_that_is_ahead_and_arrives_again_counts_at_its_first_arrival() -> None:
    ahead = [order("paid", 0, hours=50, arrived_at=at(h)) for h in (1, 3)]
    assert recorded(*ahead, order("refunded", 10000, hours=2)) == [(10000, 2, True)]


# The refunded total ------------------------------------------------------------------------------------------------


def test_a_rise_of_the_total_is_a_refund_at_the_snapshots_time() -> None:
    snapshots = [order("partially_refunded", 1500, hours=2), order("partially_refunded", 4000, hours=5)]
    assert recorded(order(), *snapshots) == [(1500, 2, True), (2500, 5, True)]


def test_the_same_total_again_is_no_refund() -> None:
    assert recorded(*(order("partially_refunded", 1500, hours=h) for h in (2, 3, 4))) == [(1500, 2, True)]


def test_an_absent_total_keeps_the_last_known_while_the_status_is_unchanged() -> None:
    snapshots = [order("partially_refunded", 1500, hours=2), order("partially_refunded", hours=3)]
    assert recorded(*snapshots, order("partially_refunded", 1500, hours=4)) == [(1500, 2, True)]


def test_a_status_that_is_not_told_is_unchanged() -> None:
    snapshots = [order("partially_refunded", 1500, hours=2), order(None, hours=3)]
    assert recorded(*snapshots, order("partially_refunded", hours=4)) == [(1500, 2, True)]


def test_refunded_without_an_amount_means_the_order_total_unverified() -> None:
    assert recorded(order(), order("refunded", hours=2)) == [(10000, 2, False)]
    assert recorded(order("partially_refunded", 1500), order("refunded", hours=2)) == [
        (1500, 1, True),
        (8500, 2, False),
    ]


def test_refunded_means_the_order_total_also_where_another_snapshot_tells_it() -> None:
    silent = order("refunded", hours=2, total=None)
    assert recorded(order(), silent) == recorded(silent, order(None, hours=3)) == [(10000, 2, False)]


def test_refunded_of_an_unknown_total_means_the_whole_captured_total() -> None:
    assert recorded(order("refunded", hours=2, total=None), captured=7000) == [(7000, 2, False)]


def test_refunded_of_an_unknown_total_is_unknown_where_nothing_tells_what_was_captured() -> None:
    assert recorded(order("refunded", hours=2, total=None), captured=None) == [(None, 2, False)]


def test_voided_means_the_whole_captured_total() -> None:
    assert recorded(order(), order("voided", hours=2), captured=7000) == [(7000, 2, False)]


@pytest.mark.parametrize("captured", [0, None])
def test_voided_records_nothing_where_nothing_is_known_to_be_captured(captured: int | None) -> None:
    assert recorded(order("authorized"), order("voided", hours=2), captured=captured) == []


def test_voided_of_an_unknown_captured_total_keeps_what_was_recorded() -> None:
    snapshots = [order("partially_refunded", 1500, hours=2), order("voided", hours=3)]
    assert recorded(*snapshots, captured=None) == [(1500, 2, True)]


def test_paid_means_that_nothing_is_refunded() -> None:
    assert recorded(order("refunded", hours=2), order("paid", hours=3)) == [(0, 2, False)]


@pytest.mark.parametrize("before", [[], [order("paid")]], ids=["as the first that is seen", "after another status"])
def test_partially_refunded_without_an_amount_is_unknown(before: list[OrderFact]) -> None:
    assert recorded(*before, order("partially_refunded", hours=2)) == [(None, 2, False)]


def test_an_unknown_amount_that_is_told_again_is_one_refund() -> None:
    assert recorded(*(order("partially_refunded", hours=h) for h in (2, 3))) == [(None, 2, False)]


def test_an_unknown_amount_of_an_unknown_total_stays_one_refund() -> None:
    snapshots = [order(s, hours=h, total=None) for h, s in ((2, "partially_refunded"), (3, "refunded"))]
    assert recorded(*snapshots, captured=None) == [(None, 2, False)]


def test_an_unknown_amount_becomes_the_rise_once_it_is_told() -> None:
    snapshots = [order("partially_refunded", hours=2), order("partially_refunded", 1500, hours=3)]
    assert recorded(*snapshots) == [(1500, 3, True)]
    assert recorded(*snapshots[:1], order("refunded", hours=4)) == [(10000, 4, False)]


def test_an_unknown_amount_beside_known_ones_comes_to_nothing_when_the_total_did_not_rise() -> None:
    known = order("paid", 1500, hours=1)
    unknown = order("partially_refunded", hours=2)
    assert recorded(known, unknown) == [(1500, 1, True), (None, 2, False)]
    assert recorded(known, unknown, order(None, 1500, hours=3)) == [(1500, 1, True), (0, 2, True)]


def test_partially_refunded_after_the_whole_is_less_than_the_whole() -> None:
    assert recorded(order("refunded", hours=2), order("partially_refunded", hours=3)) == [
        (0, 2, False),
        (None, 3, False),
    ]


def test_an_amount_that_is_told_later_verifies_what_a_status_said() -> None:
    full = order("refunded", hours=2)
    assert recorded(full, order("refunded", 10000, hours=3)) == [(10000, 2, True)]
    assert recorded(full, order("partially_refunded", 8000, hours=3)) == [(8000, 2, True)]
    assert recorded(full, order("refunded", 12000, hours=3)) == [(10000, 2, True), (2000, 3, True)]


def test_a_fall_takes_back_the_newest_first_and_the_last_of_them_in_part() -> None:
    rises = [order("partially_refunded", total, hours=h) for h, total in ((1, 1000), (2, 3000), (3, 6000))]
    assert [r[0] for r in recorded(*rises, order("partially_refunded", 2500, hours=4))] == [1000, 1500, 0]


def test_a_refund_is_named_by_the_total_it_reached_and_the_how_manieth_time() -> None:
    once = [order("partially_refunded", 1500, hours=2)]
    twice = [*once, order("paid", 0, hours=3), order("partially_refunded", 1500, hours=4)]
    [first], [same, second] = (storefront_refunds(fold(*s), None) for s in (once, twice))
    assert first.id == same.id != second.id
    assert (same.amount, second.amount) == (0, 1500)
    [elsewhere] = storefront_refunds(fold(order("partially_refunded", 1500, hours=2, order_id="1002")), None)
    assert elsewhere.id != first.id


def test_a_taken_back_refund_keeps_its_name() -> None:
    whole, part = (
        storefront_refunds(fold(order("partially_refunded", 1500, hours=2), *more), None)
        for more in ([], [order("partially_refunded", 500, hours=3)])
    )
    assert [r.id for r in whole] == [r.id for r in part]


# Cancellation ------------------------------------------------------------------------------------------------------


def test_an_order_is_cancelled_since_the_first_snapshot_that_says_so() -> None:
    known = fold(order(hours=1), *(order(hours=h, cancelled=True) for h in (4, 2, 3)))
    assert (known.cancelled, known.cancelled_at) == (True, at(2))


def test_an_order_that_is_cancelled_again_is_cancelled_since_then() -> None:
    known = fold(*(order(hours=h, cancelled=c) for h, c in ((1, True), (2, False), (3, True))))
    assert (known.cancelled, known.cancelled_at) == (True, at(3))


# Connect: Flow documents -------------------------------------------------------------------------------------------


def document(status: str | None = "paid", arrived: int = 1, **more: Any) -> OrderFact:  # noqa: ANN401 - any field
    return order(status, hours=0, origin="document", arrived_at=at(arrived), **more)


def seen(*snapshots: OrderFact) -> list[tuple[str | None, int]]:
    """Each snapshot's payment status, and the hour for which it counts."""
    return [(s.payment_status, (s.as_of - at(0)) // (at(1) - at(0))) for s in fold(*snapshots).timeline]


def test_a_document_counts_at_placement() -> None:
    assert seen(document(), order("refunded", hours=1)) == [("paid", 0), ("refunded", 1)]


def test_a_document_is_never_later_than_its_arrival() -> None:
    assert seen(order("paid", hours=9, origin="document", arrived_at=at(2))) == [("paid", 2)]


@pytest.mark.parametrize("store", ["shop", "asked"])
def test_a_retried_document_neither_erases_a_refund_nor_invents_one(store: str) -> None:
    retries = [document(arrived=a, store=store) for a in (1, 30, 99)]
    refunded = order("refunded", 10000, hours=2, store=store)
    assert recorded(*retries, refunded) == recorded(refunded) == [(10000, 2, True)]


@pytest.mark.parametrize("store", ["shop", "asked"])
def test_a_document_whose_date_cannot_be_read_counts_before_all_else(store: str) -> None:
    undated = order("paid", hours=9, origin="document", arrived_at=at(9), store=store)
    refunded = order("refunded", 10000, hours=2, store=store)
    assert recorded(undated, refunded) == recorded(refunded) == [(10000, 2, True)]


def test_a_document_takes_back_no_refund_of_an_order_whose_status_says_nothing() -> None:
    refunded = order(None, 4000, hours=2)
    assert recorded(refunded, document("paid", arrived=5)) == recorded(refunded) == [(4000, 2, True)]


def test_a_document_that_goes_further_counts_when_it_arrived() -> None:
    assert seen(order("paid"), document("refunded", arrived=5)) == [("paid", 1), ("refunded", 5)]
    assert seen(document("refunded", arrived=5)) == [("refunded", 5)]
    assert seen(order("authorized"), document("paid", arrived=5)) == [("authorized", 1), ("paid", 5)]


def test_a_document_that_goes_further_only_asks_where_the_order_can_be_read() -> None:
    late = document("refunded", arrived=5, store="asked", refunded=10000, cancelled=True)
    known = fold(order("paid", store="asked"), late)
    assert (known.payment_status, known.cancelled, storefront_refunds(known, None)) == ("paid", False, [])
    assert fold(late).total == 10000


def test_a_document_of_a_new_order_counts_at_placement_also_where_the_order_can_be_read() -> None:
    authorized = order("authorized", store="asked")
    assert seen(document("paid", arrived=5, store="asked"), authorized) == [("paid", 0), ("authorized", 1)]


def test_a_document_that_says_cancelled_does_not_bring_an_older_payment_status_with_it() -> None:
    snapshots = [order("refunded", 10000, hours=2), document("paid", arrived=5, cancelled=True)]
    assert recorded(*snapshots) == [(10000, 2, True)]
    assert fold(*snapshots).cancelled_at == at(5)


def test_a_document_that_says_refunded_does_not_take_a_cancellation_back() -> None:
    known = fold(order("paid", hours=2, cancelled=True), document("refunded", arrived=5))
    assert (known.payment_status, known.cancelled) == ("refunded", True)


def test_a_document_says_nothing_new_once_what_it_says_is_known() -> None:
    snapshots = [order("refunded", 10000, hours=2, cancelled=True), document("refunded", arrived=5, cancelled=True)]
    assert recorded(*snapshots) == [(10000, 2, True)]
    assert fold(*snapshots).cancelled_at == at(2)


def test_a_document_without_a_status_tells_of_the_order() -> None:
    known = fold(document(None, method="Payments.Stripe"))
    assert (known.payment_status, known.method) == (None, "Payments.Stripe")
