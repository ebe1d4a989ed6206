"""Rules 4 to 8 and 11: which refunds belong together, and what becomes of the rest. One order, one payment."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.facts import Fact
from ledger.instants import DAY
from ledger.policy import Gateway
from tests.ledger.build import HOUR, LATER, POLICY, at, entries, entry, ledger, moved, order, paid, refund, rises

CAPTURED = paid(10000)


# Rule 5: equal amounts


def test_equal_amounts_pair() -> None:
    assert ledger(CAPTURED, refund("re_1"), *rises(1500)) == [("matched", "re_1", "1500")]


def test_equal_amounts_pair_one_to_one() -> None:
    assert ledger(CAPTURED, refund("re_1"), refund("re_2"), *rises(1500)) == [
        ("matched", "re_1", "1500"),
        ("missing_in_storefront", "re_2", ""),
    ]


def test_the_nearest_in_time_pair_first() -> None:
    facts: list[Fact] = [refund("re_1", hours=2), refund("re_2", hours=30), *rises(1500, hours=31)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_2", "1500"), ("missing_in_storefront", "re_1", "")]


def test_of_equally_near_ones_the_smaller_id_pairs() -> None:
    facts: list[Fact] = [refund("re_2", hours=2), refund("re_1", hours=4), *rises(1500, hours=3)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1", "1500"), ("missing_in_storefront", "re_2", "")]


def test_the_shops_own_refund_pairs_before_a_chargeback() -> None:
    facts: list[Fact] = [refund("re_1", hours=2), moved("t1", 1500, hours=30), *rises(1500, hours=30)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1", "1500"), ("missing_in_storefront", "dp_1", "")]


def test_several_refunds_of_one_order_each_find_their_own() -> None:
    facts: list[Fact] = [refund("re_1", 1000), refund("re_2", 2000), refund("re_3", 3000), *rises(3000, 5000, 6000)]
    assert ledger(CAPTURED, *facts) == [
        ("matched", "re_1", "1000"),
        ("matched", "re_2", "2000"),
        ("matched", "re_3", "3000"),
    ]


# Rule 6: sums


def test_one_recorded_refund_may_be_several_gateway_refunds() -> None:
    facts: list[Fact] = [refund("re_1", 6000), refund("re_2", 4000), order(), order("refunded", hours=3)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1 re_2", "10000")]


def test_several_recorded_refunds_may_be_one_gateway_refund() -> None:
    assert ledger(CAPTURED, refund("re_1", 3500), *rises(1500, 3500)) == [("matched", "re_1", "1500 2000")]


def test_a_sum_leaves_what_does_not_belong_to_it() -> None:
    facts: list[Fact] = [refund("re_1", 1000), refund("re_2", 500), refund("re_3", 4444), *rises(1500)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1 re_2", "1500"), ("missing_in_storefront", "re_3", "")]


def test_a_sum_that_is_not_exact_pairs_nothing() -> None:
    assert ledger(CAPTURED, refund("re_1", 1000), refund("re_2", 400), *rises(1500)) == [
        ("missing_in_gateway", "", "1500"),
        ("missing_in_storefront", "re_1", ""),
        ("missing_in_storefront", "re_2", ""),
    ]


def test_an_ambiguous_sum_stays_unpaired() -> None:
    facts: list[Fact] = [refund("re_1", 1000), refund("re_2", 1000), refund("re_3", 500), *rises(1500)]
    assert [line[0] for line in ledger(CAPTURED, *facts)] == ["missing_in_gateway"] + ["missing_in_storefront"] * 3


def test_two_sums_that_share_no_member_both_pair() -> None:
    facts: list[Fact] = [*(refund(f"re_{i}", a) for i, a in enumerate((1000, 500, 300, 30))), *rises(1500, 1830)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_0 re_1", "1500"), ("matched", "re_2 re_3", "330")]


def test_a_sum_may_become_unique_once_another_is_taken() -> None:
    # 1500 is only 1000 + 500; then 1300 is only 700 + 600, where 500 + 800 would have fitted as well.
    facts: list[Fact] = [*(refund(f"re_{a}", a) for a in (1000, 500, 700, 600, 800)), *rises(1500, 2800)]
    assert ("matched", "re_1000 re_500", "1500") not in ledger(CAPTURED, *facts)  # 700 + 800 fits 1500, too
    facts = [*(refund(f"re_{a}", a) for a in (1001, 500, 700, 600)), *rises(1501, 2801)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1001 re_500", "1501"), ("matched", "re_600 re_700", "1300")]


def test_refunds_of_two_gateways_with_the_same_id_are_two() -> None:
    other: dict[str, Any] = {"source": "anet", "payment_ids": (), "order_refs": ("1001",)}
    facts: list[Fact] = [
        refund("7", 1000),
        refund("8", 500),
        refund("7", 300, **other),
        refund("8", 30, **other),
    ]
    assert ledger(CAPTURED, *facts, *rises(1500, 1830)) == [("matched", "7 8", "1500"), ("matched", "7 8", "330")]


def test_a_refund_of_nothing_makes_no_sum_ambiguous() -> None:
    facts: list[Fact] = [refund("re_0", 0), refund("re_1", 1000), refund("re_2", 500), *rises(1500)]
    assert ledger(CAPTURED, *facts)[0] == ("matched", "re_1 re_2", "1500")


def test_the_search_is_bounded() -> None:
    facts: list[Fact] = [*(refund(f"re_{i}", 10 * 2**i) for i in range(12)), *rises(30, 100000)]
    assert ("matched", "re_0 re_1", "30") in ledger(CAPTURED, *facts)
    assert ("matched", "re_0 re_1", "30") not in ledger(CAPTURED, *facts, refund("re_12"))


# Rule 7: what is left


def test_exactly_one_left_on_each_side_differs_in_amount() -> None:
    one = entry(CAPTURED, refund("re_1", 1250), *rises(1500))
    assert (one.reason, one.difference, one.verified) == ("amount_mismatch", -250, True)


def test_more_than_one_left_on_a_side_are_each_missing_on_the_other() -> None:
    assert ledger(CAPTURED, refund("re_1", 1250), *rises(1500, 3700)) == [
        ("missing_in_gateway", "", "1500"),
        ("missing_in_gateway", "", "2200"),
        ("missing_in_storefront", "re_1", ""),
    ]


@pytest.mark.parametrize("amount", [1500, 1250])
def test_one_on_each_side_in_different_currencies_is_not_compared(amount: int) -> None:
    one = entry(refund("re_1", amount, currency="EUR"), *rises(1500))
    assert (one.reason, one.difference, one.currency) == ("currency_mismatch", None, "EUR")


def test_an_order_that_tells_no_currency_is_in_that_of_its_payment() -> None:
    silent: dict[str, Any] = {"currency": None, "total": None}
    assert ledger(refund("re_1"), order("partially_refunded", hours=3, **silent)) == [("matched", "re_1", "?")]
    assert ledger(refund("re_1"), order("partially_refunded", 1500, hours=3, **silent)) == [("matched", "re_1", "1500")]


def test_a_refund_that_the_order_does_not_show_is_missing_there() -> None:
    assert ledger(CAPTURED, refund("re_1"), order()) == [("missing_in_storefront", "re_1", "")]


def test_a_recorded_refund_without_money_is_missing_in_the_gateway() -> None:
    assert ledger(CAPTURED, *rises(1500)) == [("missing_in_gateway", "", "1500")]


# Rule 4: refunds that fail


def test_a_recorded_refund_whose_gateway_refund_failed_says_so_at_once() -> None:
    facts: list[Fact] = [refund("re_1", status="failed", as_of=at(5)), *rises(1500)]
    one = entry(CAPTURED, *facts, now=at(5))
    assert (one.status, one.reason, one.gateway_amount, one.difference) == ("unmatched", "refund_failed", 0, -1500)
    assert one.due_at is None


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_failed_refund_that_nobody_recorded_came_to_nothing(status: str) -> None:
    assert ledger(CAPTURED, refund("re_1", status=status), order()) == [("closed", "re_1", "")]


def test_a_failed_refund_does_not_matter_where_another_one_pays() -> None:
    assert ledger(CAPTURED, refund("re_1", status="failed"), refund("re_2", hours=9), *rises(1500)) == [
        ("closed", "re_1", ""),
        ("matched", "re_2", "1500"),
    ]


def test_a_failed_refund_does_not_matter_where_others_together_pay() -> None:
    facts: list[Fact] = [refund("re_1", status="failed"), refund("re_2", 1000), refund("re_3", 500), *rises(1500)]
    assert ledger(CAPTURED, *facts) == [("closed", "re_1", ""), ("matched", "re_2 re_3", "1500")]


def test_a_failed_part_of_a_sum_fails_the_recorded_refund() -> None:
    one = entry(CAPTURED, refund("re_1", 1000), refund("re_2", 500, status="failed"), *rises(1500))
    assert (one.reason, one.gateway_amount, one.difference) == ("refund_failed", 1000, -500)


def test_a_failed_refund_in_another_currency_is_part_of_no_sum() -> None:
    facts = [refund("re_1", 500, status="failed", currency="EUR"), refund("re_2", 1000)]
    assert ledger(paid(), *facts, *rises(1500)) == [("amount_mismatch", "re_2", "1500"), ("closed", "re_1", "")]


def test_the_only_failed_refund_belongs_to_the_only_recorded_one() -> None:
    assert ledger(CAPTURED, refund("re_1", 1250, status="failed"), *rises(1500)) == [("refund_failed", "re_1", "1500")]


def test_a_failed_refund_beside_a_live_one_is_not_taken_for_the_recorded_one_unless_equal() -> None:
    facts: list[Fact] = [refund("re_1", 1250, status="failed"), refund("re_2", 700), *rises(1500)]
    assert ledger(CAPTURED, *facts) == [("amount_mismatch", "re_2", "1500"), ("closed", "re_1", "")]


def test_of_several_refunds_the_failed_one_is_noticed() -> None:
    facts: list[Fact] = [refund("re_1", 1000, status="failed"), refund("re_2", 2000), *rises(1000, 3000)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_2", "2000"), ("refund_failed", "re_1", "1000")]


# Refunds that are not finished


def test_an_unfinished_refund_keeps_the_entry_pending_for_the_limit_then_the_money_is_missing() -> None:
    facts: list[Fact] = [CAPTURED, refund("re_1", status="pending", hours=2), *rises(1500)]
    limit = at(2) + 7 * DAY
    before, after = entry(*facts, now=limit - 1), entry(*facts, now=limit)
    assert (before.status, before.reason, before.due_at, before.gateway_amount) == ("pending", None, limit, 1500)
    assert (after.status, after.reason, after.gateway_amount) == ("unmatched", "missing_in_gateway", 0)


def test_an_unfinished_refund_is_matched_when_it_succeeds_however_late() -> None:
    facts: list[Fact] = [refund("re_1", status="pending"), refund("re_1", as_of=at(500)), *rises(1500)]
    assert ledger(CAPTURED, *facts) == [("matched", "re_1", "1500")]


def test_an_unfinished_refund_that_nobody_recorded_is_pending_too() -> None:
    one = entry(CAPTURED, refund("re_1", status="pending"), order(), now=at(50))
    assert (one.status, one.due_at) == ("pending", at(2) + 7 * DAY)


# Grace


def test_one_side_may_wait_for_the_other_for_the_grace_period() -> None:
    facts: list[Fact] = [CAPTURED, refund("re_1", hours=2), order()]
    before, after = entry(*facts, now=at(26) - 1), entry(*facts, now=at(26))
    assert (before.status, before.reason, before.due_at) == ("pending", None, at(26))
    assert (after.status, after.reason, after.due_at) == ("unmatched", "missing_in_storefront", None)


def test_the_newest_member_counts_for_the_grace_period() -> None:
    facts: list[Fact] = [CAPTURED, refund("re_1", 1250, hours=2), *rises(1500, hours=9)]
    assert entry(*facts, now=at(30)).due_at == at(33)


def test_a_source_may_have_a_grace_period_of_its_own() -> None:
    own = replace(POLICY, grace_of={"stripe": 48 * HOUR, "shop": 72 * HOUR})
    assert entry(CAPTURED, refund("re_1"), order(), now=at(10), policy=own).due_at == at(50)
    assert entry(CAPTURED, *rises(1500), now=at(10), policy=own).due_at == at(75)
    assert entry(order(cancelled=True), now=at(10), policy=own).due_at == at(73)


# Rule 8: storefront amount unknown


def test_a_partial_refund_of_unknown_amount_covers_the_gateways_refunds() -> None:
    one = entry(CAPTURED, refund("re_1"), refund("re_2", 700), order("partially_refunded", hours=3))
    assert (one.status, one.verified, len(one.gateway_refunds)) == ("matched", False, 2)
    assert (one.gateway_amount, one.storefront_amount, one.difference) == (2200, None, None)


def test_an_unknown_amount_covers_what_comes_within_the_storefronts_grace_period() -> None:
    facts: list[Fact] = [CAPTURED, *(order("partially_refunded", hours=h) for h in (3, 90))]
    assert ledger(*facts, refund("re_1", hours=27)) == [("matched", "re_1", "?")]
    assert ledger(*facts, refund("re_1", hours=28)) == [
        ("missing_in_gateway", "", "?"),
        ("missing_in_storefront", "re_1", ""),
    ]
    patient = replace(POLICY, grace_of={"shop": 72 * HOUR})
    assert ledger(*facts, refund("re_1", hours=75), policy=patient) == [("matched", "re_1", "?")]


def test_an_unknown_amount_covers_less_than_the_total() -> None:
    unknown = order("partially_refunded", hours=9)
    assert ledger(CAPTURED, refund("re_1", 9999), unknown) == [("matched", "re_1", "?")]
    assert ledger(CAPTURED, refund("re_1", 6000), refund("re_2", 4000, hours=3), unknown) == [
        ("matched", "re_1", "?"),
        ("missing_in_storefront", "re_2", ""),
    ]


def test_what_is_recorded_with_an_amount_counts_towards_the_total() -> None:
    facts: list[Fact] = [
        refund("re_1", 6000),
        refund("re_2", 4000, hours=3),
        order("paid", 6000),
        order("partially_refunded", hours=9),
    ]
    assert ledger(CAPTURED, *facts) == [
        ("matched", "re_1", "6000"),
        ("missing_in_gateway", "", "?"),
        ("missing_in_storefront", "re_2", ""),
    ]


def test_a_refund_in_part_does_not_pay_an_order_that_is_refunded_whole() -> None:
    silent: list[Fact] = [order(total=None), order("refunded", hours=3, total=None)]
    assert ledger(CAPTURED, refund("re_1"), *silent) == [("amount_mismatch", "re_1", "10000")]
    assert ledger(CAPTURED, refund("re_1", 10000), *silent) == [("matched", "re_1", "10000")]


def test_an_unknown_amount_covers_no_chargeback() -> None:
    assert ledger(CAPTURED, moved("t1", 1500), order("partially_refunded", hours=3)) == [
        ("missing_in_gateway", "", "?"),
        ("missing_in_storefront", "dp_1", ""),
    ]


def test_an_unknown_amount_whose_refund_failed_says_so() -> None:
    facts: list[Fact] = [refund("re_1", status="failed"), order("partially_refunded", hours=3)]
    assert ledger(CAPTURED, *facts, now=at(4)) == [("refund_failed", "re_1", "?")]
    unknown = order("partially_refunded", hours=3)
    assert ledger(CAPTURED, unknown, refund("re_1", hours=27, status="failed")) == [("refund_failed", "re_1", "?")]
    assert ledger(CAPTURED, unknown, refund("re_1", hours=28, status="failed")) == [
        ("closed", "re_1", ""),
        ("missing_in_gateway", "", "?"),
    ]


def test_an_unknown_amount_in_another_currency_is_not_compared() -> None:
    assert ledger(refund("re_1", currency="EUR"), order("partially_refunded", hours=3)) == [
        ("currency_mismatch", "re_1", "?")
    ]


# A recorded refund that is taken back


def test_a_recorded_refund_that_was_taken_back_before_money_moved_is_closed() -> None:
    assert ledger(CAPTURED, *rises(1500), order("paid", 0, hours=9)) == [("closed", "", "0")]


def test_a_recorded_refund_that_was_taken_back_after_money_moved_leaves_the_gateways_alone() -> None:
    assert ledger(CAPTURED, refund("re_1"), *rises(1500), order("paid", 0, hours=9)) == [
        ("closed", "", "0"),
        ("missing_in_storefront", "re_1", ""),
    ]


# Rule 11: the start of the ledger


def test_facts_before_the_start_of_the_ledger_open_no_entry() -> None:
    late = replace(POLICY, ledger_start=at(10))
    old: list[Fact] = [CAPTURED, refund("re_1"), *rises(4000), order("paid", 0, hours=6, cancelled=True)]
    assert len(entries(*old)) == 3
    assert entries(*old, policy=late) == []


def test_facts_before_the_start_of_the_ledger_are_used() -> None:
    late = replace(POLICY, ledger_start=at(10))
    assert ledger(CAPTURED, refund("re_1"), *rises(1500, hours=10), policy=late) == [("matched", "re_1", "1500")]
    assert ledger(order(), refund("re_1", 6000), refund("re_2", 6000, hours=11), policy=late) == [
        ("over_refunded", "re_2", "")
    ]


def test_a_refund_that_fails_after_the_start_of_the_ledger_is_seen_however_old_it_is() -> None:
    late = replace(POLICY, ledger_start=at(10))
    old: list[Fact] = [CAPTURED, refund("re_1"), *rises(1500)]
    assert entries(*old, policy=late) == []
    assert entries(*old, refund("re_1", status="failed", as_of=at(9)), policy=late) == []
    failed = refund("re_1", status="failed", as_of=at(80))
    assert ledger(*old, failed, policy=late) == [("refund_failed", "re_1", "1500")]
    assert entries(CAPTURED, order(), failed, policy=late) == []
    told_twice = refund("re_1", status="failed", as_of=at(9))
    assert entries(*old, told_twice, failed, policy=late) == []


def test_the_start_of_the_ledger_counts_by_the_sources_own_clocks() -> None:
    assert ledger(refund("re_1"), policy=replace(POLICY, ledger_start=at(2))) != []
    assert ledger(refund("re_1"), policy=replace(POLICY, ledger_start=at(2) + 1)) == []


# Currencies


@pytest.mark.parametrize("currency", ["JPY", "GBP", "KWD"])
def test_amounts_pair_in_any_currency(currency: str) -> None:
    snapshots: list[Fact] = [order("partially_refunded", 500, hours=3, currency=currency)]
    assert ledger(refund("re_1", 500, currency=currency), *snapshots) == [("matched", "re_1", "500")]


def test_a_gateway_without_settings_is_served_as_any_other() -> None:
    bare = replace(POLICY, gateways={"stripe": Gateway()})
    assert ledger(refund("re_1"), *rises(1500), policy=bare, now=LATER) == [("matched", "re_1", "1500")]
