"""Rules 4, 9 and 10, where the captured total decides: voids, chargebacks, too much, and cancelled orders."""

import pytest
from msgspec.structs import replace

from ledger.facts import Fact
from tests.ledger.build import POLICY, at, entries, entry, ledger, lines, moved, order, paid, refund, rises

CAPTURED = paid(10000)


# Rule 4: voids


@pytest.mark.parametrize("status", ["refunded", "voided"])
def test_a_void_of_a_captured_payment_pairs_with_a_recorded_refund(status: str) -> None:
    facts: list[Fact] = [paid(10000), refund("re_1", 10000, kind="void"), order(), order(status, hours=3)]
    assert ledger(*facts) == [("matched", "re_1", "10000")]


def test_a_voided_order_whose_sum_of_refunds_stays_nothing_has_returned_the_whole() -> None:
    void: list[Fact] = [paid(7000), refund("v1", 7000, kind="void"), order()]
    assert ledger(*void, order("voided", 0, hours=3), order("voided", 0, hours=9)) == [("matched", "v1", "7000")]


def test_a_void_settles_a_cancelled_order() -> None:
    one = entry(paid(10000), refund("re_1", 10000, kind="void"), order(cancelled=True, hours=5))
    assert (one.status, one.verified, one.opened_at, one.matched_at) == ("matched", False, at(2), at(5))
    assert (one.gateway_amount, one.storefront_amount) == (10000, None)


def test_a_void_of_a_cancelled_order_on_which_another_amount_is_recorded_differs_from_it() -> None:
    void: list[Fact] = [paid(), refund("v1", 10000, kind="void"), order()]
    assert ledger(*void, order("partially_refunded", 4000, hours=3, cancelled=True)) == [
        ("amount_mismatch", "v1", "4000")
    ]


def test_a_void_with_an_order_that_still_is_paid_is_missing_in_the_storefront() -> None:
    assert ledger(paid(10000), refund("re_1", 10000, kind="void"), order()) == [("missing_in_storefront", "re_1", "")]
    assert ledger(refund("re_1", 10000, kind="void"), order()) == [("missing_in_storefront", "re_1", "")]


def test_a_void_with_a_total_of_nothing_opens_nothing() -> None:
    assert ledger(paid(10000), refund("re_1", 10000, kind="void"), order(total=0)) == []


@pytest.mark.parametrize("status", ["paid", "refunded", "voided"])
def test_a_void_settles_a_cancelled_order_also_where_its_total_became_nothing(status: str) -> None:
    void: list[Fact] = [paid(10000), refund("v1", 10000, kind="void"), order()]
    recorded = "10000" if status == "voided" else ""
    assert ledger(*void, order(status, hours=5, cancelled=True, total=0)) == [("matched", "v1", recorded)]


def test_a_void_of_a_refund_leaves_the_refund_with_its_order() -> None:
    # Authorize.net names what is voided, which looks like a payment of its own.
    facts: list[Fact] = [paid(10000), *rises(1500), refund("778", payment_ids=(), order_refs=("1001",))]
    assert ledger(*facts) == [("matched", "778", "1500")]
    void = refund("778", hours=5, kind="void", payment_ids=("778",), order_refs=("1001",))
    assert ledger(*facts, void, now=at(5)) == [("refund_failed", "778", "1500")]


@pytest.mark.parametrize(
    "facts",
    [
        [paid(0), refund("re_1", 10000, kind="void"), order()],
        [paid(None, voided=True), refund("re_1", 10000, kind="void"), order(cancelled=True)],
        [paid(None, voided=True), order("authorized"), order("voided", hours=2, cancelled=True)],
        [refund("re_1", 10000, kind="void"), order("authorized")],
        [refund("re_1", 10000, kind="void")],
    ],
)
def test_a_void_of_what_was_not_captured_opens_nothing(facts: list[Fact]) -> None:
    assert ledger(*facts) == []


def test_a_void_of_a_captured_payment_of_no_known_order_is_order_unknown() -> None:
    assert ledger(paid(10000), refund("re_1", kind="void")) == [("order_unknown", "re_1", "")]


# Rule 4 and 9: chargebacks, and what goes beyond the captured total


def test_a_chargeback_that_nothing_recorded_is_missing_in_the_storefront() -> None:
    assert ledger(CAPTURED, moved("t1", 10000), order()) == [("missing_in_storefront", "dp_1", "")]


def test_a_chargeback_that_was_given_back_came_to_nothing() -> None:
    one = entry(CAPTURED, moved("t1", 10000), moved("t2", 10000, direction="reinstated"), order())
    assert (one.status, one.gateway_amount) == ("closed", 0)


def test_a_chargeback_that_was_given_back_pays_no_recorded_refund() -> None:
    facts: list[Fact] = [moved("t1", 1500), moved("t2", 1500, direction="reinstated"), *rises(1500)]
    assert ledger(CAPTURED, *facts) == [("closed", "dp_1", ""), ("missing_in_gateway", "", "1500")]


def test_a_chargeback_after_a_refund_goes_beyond_what_was_captured() -> None:
    facts: list[Fact] = [refund("re_1", 10000), order(), order("refunded", hours=3), moved("t1", 10000, hours=50)]
    assert ledger(CAPTURED, *facts, now=at(50)) == [("matched", "re_1", "10000"), ("over_refunded", "dp_1", "")]


def test_what_goes_beyond_and_the_only_recorded_refund_left_belong_together() -> None:
    facts: list[Fact] = [CAPTURED, refund("re_1", 3000), *rises(3000), moved("t1", 10000, hours=5)]
    assert ledger(*facts, now=at(5)) == [("matched", "re_1", "3000"), ("over_refunded", "dp_1", "")]
    found = entries(*facts, order("refunded", hours=6), now=at(6))
    assert lines(found) == [("amount_mismatch", "dp_1", "7000"), ("matched", "re_1", "3000")]
    assert [e.difference for e in found if e.reason] == [3000]


def test_nobody_waits_for_a_refund_that_failed_once_all_went_back() -> None:
    facts: list[Fact] = [CAPTURED, refund("re_1", status="failed"), *rises(1500)]
    assert ledger(*facts) == [("refund_failed", "re_1", "1500")]
    assert ledger(*facts, moved("t1", 10000, hours=9)) == [("amount_mismatch", "dp_1", "1500"), ("closed", "re_1", "")]
    assert ledger(*facts, moved("t1", 9000, hours=9)) == [
        ("missing_in_storefront", "dp_1", ""),
        ("refund_failed", "re_1", "1500"),
    ]


def test_the_latest_movements_that_exceed_stand_alone() -> None:
    facts: list[Fact] = [order(), *(refund(f"re_{i}", 4000, hours=i) for i in (2, 3, 4, 5))]
    assert ledger(CAPTURED, *facts) == [
        ("missing_in_storefront", "re_2", ""),
        ("missing_in_storefront", "re_3", ""),
        ("over_refunded", "re_4", ""),
        ("over_refunded", "re_5", ""),
    ]


def test_what_pairs_stays_paired() -> None:
    facts: list[Fact] = [*rises(6000), refund("re_1", 6000, hours=9), refund("re_2", 6000, hours=10)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1", "6000"), ("over_refunded", "re_2", "")]


def test_a_refund_that_is_on_its_way_exceeds_nothing_yet() -> None:
    facts: list[Fact] = [CAPTURED, order(), refund("re_1", 6000), refund("re_2", 6000, hours=3, status="pending")]
    assert ("over_refunded", "re_2", "") not in ledger(*facts)
    assert ("over_refunded", "re_2", "") in ledger(*facts, refund("re_2", 6000, hours=3, as_of=at(4)))


def test_a_refund_that_is_on_its_way_is_not_what_exceeds() -> None:
    facts: list[Fact] = [CAPTURED, order(), *(refund(f"re_{i}", 6000, hours=i) for i in (2, 3))]
    lines = ledger(*facts, refund("re_4", 1000, hours=4, status="pending"))
    assert [line for line in lines if line[0] == "over_refunded"] == [("over_refunded", "re_3", "")]


def test_nothing_is_over_refunded_where_only_the_authorisation_was_heard() -> None:
    assert ledger(paid(0), order(), refund("re_1")) == [("missing_in_storefront", "re_1", "")]
    assert ledger(paid(0), refund("re_1")) == [("order_unknown", "re_1", "")]


def test_nothing_is_over_refunded_where_the_captured_total_is_unknown() -> None:
    facts: list[Fact] = [order(method="Payments.PurchaseOrder"), refund("re_1", 20000)]
    assert ledger(*facts) == [("missing_in_storefront", "re_1", "")]


def test_refunds_of_no_known_order_can_go_beyond_their_payment() -> None:
    assert ledger(CAPTURED, refund("re_1", 6000), refund("re_2", 6000, hours=3), now=at(3)) == [
        ("over_refunded", "re_2", ""),
        ("pending", "re_1", ""),
    ]


# Rule 10: cancelled orders


def test_a_cancelled_order_has_to_give_back_what_was_captured() -> None:
    one = entry(CAPTURED, order(), order(hours=5, cancelled=True))
    assert (one.reason, one.expected_amount, one.opened_at) == ("cancelled_not_refunded", 10000, at(5))
    assert (one.gateway_amount, one.storefront_amount, one.gateway_refunds) == (None, None, ())
    assert one.amount_at_stake == 10000


def test_its_grace_counts_from_the_first_snapshot_that_says_cancelled() -> None:
    facts: list[Fact] = [CAPTURED, order(hours=5, cancelled=True), order("paid", 0, hours=20, cancelled=True)]
    assert entry(*facts, now=at(29) - 1).status == "pending"
    assert entry(*facts, now=at(29)).status == "unmatched"


def test_what_has_gone_back_is_not_asked_for() -> None:
    assert ledger(CAPTURED, refund("re_1", 10000), order("refunded", hours=3, cancelled=True)) == [
        ("matched", "re_1", "10000")
    ]


def test_a_refund_that_nobody_recorded_is_not_asked_for_either() -> None:
    assert ledger(CAPTURED, refund("re_1", 10000), order(cancelled=True)) == [("missing_in_storefront", "re_1", "")]


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ([], ("missing_in_gateway", "", "4000")),
        ([refund("re_1", 4000, status="failed")], ("refund_failed", "re_1", "4000")),
        ([refund("re_1", 4000)], ("matched", "re_1", "4000")),
        ([refund("re_1", 3000)], ("amount_mismatch", "re_1", "4000")),
        ([refund("re_1", 4000, status="pending")], ("missing_in_gateway", "re_1", "4000")),
    ],
)
def test_no_penny_stands_in_two_entries(facts: list[Fact], line: tuple[str, str, str]) -> None:
    recorded = order("partially_refunded", 4000, hours=3, cancelled=True)
    assert ledger(CAPTURED, *facts, recorded) == sorted([("cancelled_not_refunded", "", "expects 6000"), line])


def test_what_was_recorded_before_the_start_of_the_ledger_and_never_paid_is_asked_for_with_the_rest() -> None:
    late = replace(POLICY, ledger_start=at(10))
    facts: list[Fact] = [CAPTURED, order(), order("partially_refunded", 4000, hours=3)]
    cancelled = order("partially_refunded", 4000, hours=12, cancelled=True)
    assert ledger(*facts, cancelled, policy=late) == [("cancelled_not_refunded", "", "expects 10000")]
    assert ledger(*facts, refund("re_1", 3000), cancelled, policy=late) == [
        ("cancelled_not_refunded", "", "expects 7000")
    ]


def test_a_cancelled_order_that_was_never_captured_owes_nothing() -> None:
    assert ledger(paid(0), order("authorized", cancelled=True)) == []


def test_an_order_on_account_raises_no_alarm() -> None:
    on_account = order(cancelled=True, transactions=(), method="Payments.PurchaseOrder")
    assert ledger(on_account) == []


@pytest.mark.parametrize("recorded", [1500, None])
def test_a_refund_recorded_on_an_order_on_account_raises_no_alarm(recorded: int | None) -> None:
    on_account = order("partially_refunded", recorded, transactions=(), method="Payments.PurchaseOrder")
    assert entry(on_account, now=at(1)).status == entry(on_account).status == "closed"
    assert entry(on_account).explanation.endswith("is closed: the order was paid without a gateway.")


def test_a_refund_recorded_on_an_order_on_account_still_pairs() -> None:
    on_account = order("partially_refunded", 1500, hours=3, method="Payments.PurchaseOrder")
    assert ledger(refund("re_1"), on_account) == [("matched", "re_1", "1500")]


def test_an_order_that_is_not_cancelled_any_more_owes_nothing() -> None:
    assert ledger(CAPTURED, order(cancelled=True), order(hours=9)) == [("closed", "", "expects 10000")]


def test_a_failed_refund_in_another_currency_gave_nothing_back() -> None:
    facts: list[Fact] = [CAPTURED, order(), refund("re_1", currency="EUR", status="failed")]
    cancelled = order("partially_refunded", 1500, hours=3, cancelled=True)
    assert ledger(*facts, cancelled) == [
        ("cancelled_not_refunded", "", "expects 8500"),
        ("refund_failed", "re_1", "1500"),
    ]


def test_a_cancelled_order_whose_money_went_back_in_another_currency_is_not_compared() -> None:
    assert ledger(CAPTURED, refund("re_1", currency="EUR"), order(cancelled=True)) == [
        ("missing_in_storefront", "re_1", "")
    ]


# A payment in another currency than its order


ABROAD = paid(11700, currency="EUR")


def abroad(name: str, amount: int, hours: int = 4, status: str = "succeeded") -> Fact:
    return refund(name, amount, hours, currency="EUR", status=status)


def test_a_cancelled_order_has_to_give_back_what_was_captured_in_another_currency() -> None:
    one = entry(ABROAD, order(), order(hours=5, cancelled=True))
    assert (one.reason, one.expected_amount, one.currency) == ("cancelled_not_refunded", 11700, "EUR")
    assert one.explanation.endswith("of the 117.00 EUR captured 117.00 EUR has not gone back.")
    assert ledger(ABROAD, abroad("re_1", 11700), order(cancelled=True)) == [("missing_in_storefront", "re_1", "")]
    assert ledger(ABROAD, abroad("re_1", 5000), order(cancelled=True)) == [
        ("cancelled_not_refunded", "", "expects 6700"),
        ("missing_in_storefront", "re_1", ""),
    ]


@pytest.mark.parametrize("gave", [[], [abroad("re_1", 11700, status="failed")]])
def test_what_is_to_go_back_and_told_in_another_currency_is_asked_for_once(gave: list[Fact]) -> None:
    [one] = entries(ABROAD, *gave, order(), order("refunded", 10000, hours=3, cancelled=True))
    assert one.reason == ("refund_failed" if gave else "missing_in_gateway")


def test_refunds_in_another_currency_can_go_beyond_what_was_captured_in_it() -> None:
    twice: list[Fact] = [ABROAD, order(), abroad("re_1", 11700), abroad("re_2", 11700, hours=5)]
    assert ledger(*twice, now=at(5)) == [("over_refunded", "re_2", ""), ("pending", "re_1", "")]
    recorded = order("refunded", 10000, hours=6)
    assert ledger(*twice, recorded) == [("currency_mismatch", "re_1", "10000"), ("over_refunded", "re_2", "")]


def test_a_void_settles_a_cancelled_order_also_in_another_currency() -> None:
    void = refund("v1", 11700, kind="void", currency="EUR")
    assert ledger(ABROAD, void, order(hours=5, cancelled=True)) == [("matched", "v1", "")]


def test_what_pairs_across_currencies_counts_in_the_currency_of_the_capture() -> None:
    recorded = order("partially_refunded", 5000, hours=4, cancelled=True)
    assert ledger(ABROAD, order(), abroad("re_1", 1000), recorded) == [
        ("cancelled_not_refunded", "", "expects 10700"),
        ("currency_mismatch", "re_1", "5000"),
    ]


def test_a_voided_order_does_not_take_over_an_amount_in_another_currency() -> None:
    void = refund("v1", 11700, kind="void", currency="EUR")
    assert entry(ABROAD, void, order(), order("voided", hours=3)).storefront_amount is None


def test_without_a_captured_total_nothing_goes_beyond_it() -> None:
    assert ledger(refund("re_1"), order(total=None)) == [("missing_in_storefront", "re_1", "")]
