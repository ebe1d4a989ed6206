"""Payments under all their ids, and rule 4: what counts as money gone back."""

import pytest

from ledger.facts import Fact
from ledger.payments import Payment, Returned, fold_gateway
from tests.ledger.build import at, moved, paid, refund


def payments(*facts: Fact) -> list[Payment]:
    return fold_gateway(facts)[0]


def returned(*facts: Fact) -> Returned:
    [one] = fold_gateway(facts)[1]
    return one


def gone(*facts: Fact) -> list[tuple[str, str, str, int]]:
    return [(r.refund.id, r.refund.kind, r.refund.status, r.refund.amount) for r in fold_gateway(facts)[1]]


def test_facts_that_share_an_id_speak_of_one_payment() -> None:
    [one] = payments(paid(None, "ch_1", "pi_1", currency=None), paid(7000, "pi_1", "py_1"), paid(None, "py_1", "x"))
    assert one == Payment("stripe", ("ch_1", "pi_1", "py_1", "x"), "GBP", 7000)


def test_a_refund_that_names_two_ids_makes_them_one_payment() -> None:
    [one] = payments(paid(7000, "ch_1"), refund("re_1", payment_ids=("pi_1", "ch_1")))
    assert one.ids == ("ch_1", "pi_1")


def test_two_facts_of_one_refund_speak_of_one_payment() -> None:
    [one] = payments(refund("re_1", payment_ids=("ch_1",)), refund("re_1", hours=3, payment_ids=("pi_1",)))
    assert one.ids == ("ch_1", "pi_1")


def test_two_facts_of_one_dispute_speak_of_one_payment() -> None:
    facts: list[Fact] = [moved("t1", 100, payment_ids=("ch_1",)), moved("t2", 100, direction="reinstated"), paid(7000)]
    assert payments(*facts)[0].ids == ("ch_1", "pi_1")
    assert returned(*facts).payment == returned(*facts[::-1]).payment == payments(*facts)[0]


def test_the_same_id_at_another_gateway_is_another_payment() -> None:
    assert len(payments(paid(), paid(source="anet"))) == 2


def test_a_payment_without_an_id_is_nobodys() -> None:
    assert payments(paid().__class__("stripe", (), at(0), "GBP", captured=100)) == []


def test_captured_is_the_most_that_was_ever_told_whatever_came_last() -> None:
    assert payments(paid(0, hours=0), paid(7000, hours=2), paid(None, hours=3), paid(0, hours=4))[0].captured == 7000


def test_captured_is_unknown_where_no_event_told() -> None:
    assert payments(paid(None))[0].captured is None


PART = paid(6000, authorised=10000, released_rest=4000)


def test_the_released_rest_of_a_part_capture_that_is_told_as_a_refund_gave_nothing_back() -> None:
    released, later = refund("re_9", 4000, hours=1), refund("re_1", 4000, hours=5)
    other = refund("re_5", 1500, hours=0)
    assert gone(PART, released) == []
    assert gone(PART, released, later, other) == [
        ("re_1", "refund", "succeeded", 4000),
        ("re_5", "refund", "succeeded", 1500),
    ]
    assert gone(PART, refund("re_8", 4000, payment_ids=("pi_2",))) == [("re_8", "refund", "succeeded", 4000)]
    assert gone(PART, moved("t1", 4000)) == [("dp_1", "chargeback", "succeeded", 4000)]


def test_a_part_capture_of_which_nothing_is_told_as_a_refund_hides_none() -> None:
    assert gone(paid(6000, authorised=10000), refund("re_1", 4000)) == [("re_1", "refund", "succeeded", 4000)]


def test_a_void_of_what_was_not_captured_sets_captured_to_nothing() -> None:
    assert payments(paid(None, voided=True))[0].captured == 0
    assert payments(paid(7000), paid(None, hours=2, voided=True))[0].captured == 7000


def test_the_latest_order_reference_and_currency_hold() -> None:
    [one] = payments(
        paid(order_refs=("1001",)), paid(hours=2, order_refs=("1002",)), paid(hours=3, currency=None, order_refs=())
    )
    assert (one.order_refs, one.currency) == (("1002",), "GBP")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("pending", "succeeded"), ("succeeded", "failed"), ("pending", "canceled"), ("failed", "succeeded")],
)
def test_the_newer_status_of_a_refund_holds_whenever_it_comes(earlier: str, later: str) -> None:
    facts: list[Fact] = [refund("re_1", status=earlier), refund("re_1", status=later, as_of=at(80))]
    assert returned(*facts) == returned(*facts[::-1])
    assert returned(*facts).refund.status == later


@pytest.mark.parametrize(
    ("one", "other"), [("pending", "succeeded"), ("succeeded", "failed"), ("succeeded", "canceled")]
)
def test_of_one_second_the_later_state_holds(one: str, other: str) -> None:
    facts: list[Fact] = [refund("re_1", status=one), refund("re_1", status=other)]
    assert returned(*facts).refund.status == returned(*facts[::-1]).refund.status == other


def test_a_refund_was_made_when_its_first_fact_says() -> None:
    assert returned(refund("re_1", hours=5), refund("re_1", hours=2, as_of=at(9))).refund.at == at(2)


def test_refunds_of_one_charge_are_counted_one_by_one() -> None:
    assert gone(refund("re_1"), refund("re_2"), refund("re_2", as_of=at(3))) == [
        ("re_1", "refund", "succeeded", 1500),
        ("re_2", "refund", "succeeded", 1500),
    ]


def test_a_void_of_an_uncaptured_authorisation_opens_nothing() -> None:
    assert gone(paid(0), refund("re_1", kind="void")) == []


def test_a_void_of_a_captured_payment_returns_its_whole_amount() -> None:
    assert gone(paid(7000), refund("re_1", 10000, kind="void")) == [("re_1", "void", "succeeded", 7000)]
    assert gone(refund("re_1", 10000, kind="void")) == [("re_1", "void", "succeeded", 10000)]


def test_a_void_of_a_refund_cancels_it() -> None:
    # Authorize.net voids an unsettled refund under the refund's own id.
    assert gone(paid(7000), refund("r1"), refund("r1", kind="void", hours=3)) == [("r1", "refund", "canceled", 1500)]


def test_a_refund_stays_voided_whatever_the_gateway_goes_on_to_tell_of_it() -> None:
    # CyberSource is asked for the details of a refund after the request that voided it.
    told: list[Fact] = [refund("r1", kind="void", hours=3), refund("r1", status="pending", hours=5)]
    assert gone(paid(7000), *told) == [("r1", "refund", "canceled", 1500)]
    assert returned(paid(7000), *told).failed_at == at(3)


def test_a_void_that_failed_cancels_no_refund() -> None:
    told: list[Fact] = [refund("r1"), refund("r1", kind="void", status="failed", hours=3)]
    assert gone(paid(7000), *told) == [("r1", "refund", "succeeded", 1500)]


def test_movements_of_a_dispute_are_summed_and_each_counts_once() -> None:
    facts: list[Fact] = [moved("t1", 3000), moved("t1", 3000), moved("t2", 500, hours=9)]
    assert gone(*facts) == [("dp_1", "chargeback", "succeeded", 3500)]
    assert returned(*facts).refund.at == at(2)


def test_a_movement_without_an_id_counts_only_where_no_other_is_known() -> None:
    assert gone(moved("", 3000), moved("t1", 3000)) == [("dp_1", "chargeback", "succeeded", 3000)]
    assert gone(moved("", 3000), moved("", 3000)) == [("dp_1", "chargeback", "succeeded", 3000)]


def test_a_chargeback_that_was_given_back_in_part_counts_the_rest() -> None:
    assert gone(moved("t1", 3000), moved("t2", 1000, direction="reinstated")) == [
        ("dp_1", "chargeback", "succeeded", 2000)
    ]


def test_a_chargeback_that_was_given_back_is_reversed() -> None:
    assert gone(moved("t1", 3000), moved("t2", 3000, direction="reinstated")) == [
        ("dp_1", "chargeback", "reversed", 3000)
    ]


def test_what_was_not_taken_yet_cannot_have_been_given_back() -> None:
    """As of a dispute that was won without money moving, and a later one at which the bank took it."""
    facts: list[Fact] = [moved("t1", 3000, hours=90), moved("t2", 3000, direction="reinstated")]
    assert gone(*facts) == gone(*facts[::-1]) == [("dp_1", "chargeback", "succeeded", 3000)]
    again: list[Fact] = [moved("t3", 3000, hours=200, direction="reinstated")]
    assert gone(*facts, *again) == [("dp_1", "chargeback", "reversed", 3000)]


def test_a_dispute_told_by_the_day_may_be_given_back_on_the_day_on_which_it_took() -> None:
    assert gone(moved("t1", 3000, hours=9), moved("t2", 3000, hours=0, direction="reinstated")) == [
        ("dp_1", "chargeback", "reversed", 3000)
    ]


def test_a_dispute_that_took_nothing_opens_nothing() -> None:
    assert gone(moved("t2", 3000, direction="reinstated")) == []


def test_a_refund_of_what_was_authorised_and_released_returned_nothing() -> None:
    assert gone(refund("re_1"), paid(0, voided=True)) == []


def test_a_refund_of_what_is_only_known_as_authorised_counts() -> None:
    """The event of its capture may be missing: money must not be overlooked."""
    assert gone(refund("re_1"), paid(0)) == [("re_1", "refund", "succeeded", 1500)]


def test_a_refund_of_a_part_that_was_captured_counts_though_the_rest_was_released() -> None:
    """Some gateways tell each capture and never the total."""
    facts = (refund("re_1"), paid(None), paid(None, hours=2, voided=True))

    assert gone(*facts) == [("re_1", "refund", "succeeded", 1500)]
    assert payments(*facts)[0].captured is None


def test_a_refund_shows_that_more_was_captured_than_the_authorisation_tells() -> None:
    """The event of the capture is missing, so how much it was is not known; and nothing goes beyond it."""
    assert [p.captured for p in payments(refund("re_1"), paid(0))] == [None]


@pytest.mark.parametrize("status", ["pending", "succeeded", "failed"])
def test_a_refund_in_any_state_shows_that_a_part_was_captured(status: str) -> None:
    """How much is not told: then the release of the rest must not make it nothing."""
    facts: list[Fact] = [paid(None), paid(None, hours=1, voided=True), refund("re_1", status=status)]
    assert [p.captured for p in payments(*facts)] == [None]
    assert gone(*facts) == [("re_1", "refund", status, 1500)]
