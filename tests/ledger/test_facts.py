import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import (
    Decision,
    DisputeFact,
    Fact,
    OrderFact,
    PaymentFact,
    RefundFact,
    decode,
    encode,
    found_at,
    leads_to,
    order_ref,
    payment_ref,
    reference,
    refund_ref,
)

WHOLE: list[Fact] = [
    PaymentFact("stripe", ("ch_1", "pi_1"), 5, "GBP", 200, 100, voided=True, order_refs=("1001",)),
    RefundFact("stripe", "re_1", "refund", "failed", 15, "JPY", 5, 6, ("pi_1",), ("1001", "x")),
    DisputeFact("stripe", "dp_1", "txn_1", "reinstated", 15, "KWD", 5, ("pi_1",)),
    OrderFact("shop", "1001", "read", 5, 6, "d1", "GBP", 100, 15, "partially_refunded", cancelled=True,
              transactions=("pi_1",), method="Payments.Stripe", order_refs=("1001",), placed_at=1),
    Decision("d1", "link", 5, "ann", "naïve “text”", "e1", ("refund", "stripe", "re_1"), ("stripe/re_1",), "f",
             "shop", "1001", 9),
]  # fmt: skip
BARE: list[Fact] = [
    PaymentFact("stripe", ("pi_1",), 5),
    RefundFact("stripe", "re_1", "refund", "pending", 15, "GBP", 5, 6),
    DisputeFact("stripe", "dp_1", "", "withdrawn", 15, "GBP", 5),
    OrderFact("shop", "1001", "event", 5, 6, "d1"),
    Decision("d1", "note", 5, "ann", "", "e1", ("cancelled", "shop", "1001")),
]


@pytest.mark.parametrize("fact", WHOLE + BARE)
def test_a_fact_comes_back_as_it_was_written(fact: Fact) -> None:
    assert decode(encode(fact)) == fact


@pytest.mark.parametrize("fact", WHOLE + BARE)
def test_a_fact_is_written_without_what_a_database_cannot_hold(fact: Fact) -> None:
    assert "\0" not in encode(fact)


@pytest.mark.parametrize(
    ("fact", "required"), [(BARE[0], 3), (BARE[1], 8), (BARE[2], 7), (BARE[3], 6), (BARE[4], 7)], ids=str
)
def test_a_fact_that_was_written_before_fields_were_added_gets_their_defaults(fact: Fact, required: int) -> None:
    assert decode(json.dumps(json.loads(encode(fact))[: required + 1])) == fact


@given(st.builds(RefundFact) | st.builds(OrderFact) | st.builds(PaymentFact) | st.builds(DisputeFact))
def test_any_fact_comes_back_as_it_was_written(fact: Fact) -> None:
    assert decode(encode(fact)) == fact


def belong(one: Fact, other: Fact) -> bool:
    """Whether the closure that starts at one reaches the other in one step."""
    return bool(set(leads_to(one)) & set(found_at(other)))


PAYMENT, REFUND, DISPUTE, ORDER, _ = WHOLE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PAYMENT, REFUND),
        (PAYMENT, DISPUTE),
        (PAYMENT, ORDER),
        (ORDER, REFUND),
        (ORDER, DISPUTE),
        (REFUND, DISPUTE),
        (ORDER, RefundFact("stripe", "re_2", "refund", "succeeded", 1, "GBP", 1, 1, (), ("1001",))),
        (ORDER, PaymentFact("stripe", ("pi_2",), 1, order_refs=("1001",))),
        (REFUND, Decision("d", "note", 1, "ann", "", "e", ("refund", "stripe", "re_1"))),
        (DISPUTE, Decision("d", "note", 1, "ann", "", "e", ("refund", "stripe", "dp_1"))),
        (ORDER, Decision("d", "note", 1, "ann", "", "e", ("recorded", "shop", "1001", "abc"))),
        (ORDER, Decision("d", "note", 1, "ann", "", "e", ("cancelled", "shop", "1001"))),
        (ORDER, Decision("d", "link", 1, "ann", "", "e", ("refund", "a", "b"), ("a/b",), "", "shop", "1001")),
        (REFUND, Decision("d", "link", 1, "ann", "", "e", ("refund", "a", "b"), ("a/b", "stripe/re_1"))),
    ],
)
def test_facts_that_belong_together_find_each_other(one: Fact, other: Fact) -> None:
    assert belong(one, other)
    assert belong(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (REFUND, RefundFact("anet", "re_1", "refund", "succeeded", 1, "GBP", 1, 1)),
        (REFUND, RefundFact("stripe", "re_2", "refund", "succeeded", 1, "GBP", 1, 1, ("pi_2",), ("1001",))),
        (ORDER, OrderFact("shop", "1002", "event", 1, 1, "d", order_refs=("1001",))),
        (ORDER, OrderFact("second", "1001", "event", 1, 1, "d", order_refs=("1001",))),
    ],
    ids=["another gateway's refund", "a refund with the same order number", "a text of another order", "another store"],
)
def test_strangers_do_not_find_each_other(one: Fact, other: Fact) -> None:
    assert not belong(one, other)
    assert not belong(other, one)


@pytest.mark.parametrize("fact", WHOLE + BARE)
def test_the_first_reference_is_the_facts_own(fact: Fact) -> None:
    own = {
        PaymentFact: payment_ref("ch_1" if fact in WHOLE else "pi_1"),
        RefundFact: refund_ref("stripe", "re_1"),
        DisputeFact: refund_ref("stripe", "dp_1"),
        OrderFact: order_ref("shop", "1001"),
        Decision: refund_ref("stripe", "re_1") if fact in WHOLE else order_ref("shop", "1001"),
    }
    assert found_at(fact)[0] == own[type(fact)]


def test_a_reference_is_64_bits_and_the_same_for_ever() -> None:
    assert reference("payment", "pi_1") == payment_ref("pi_1") == 5667559208900025347
    assert reference("refund", "a", "bc") != reference("refund", "ab", "c")


@pytest.mark.parametrize(
    ("one", "near", "far"),
    [
        ("1001234", "1001987", "1002234"),
        ("pi_3MtwBwLkdIwHu7ix28a3tqPa", "pi_3MtwZZ000000000000000000", "pi_3MtxBwLkdIwHu7ix28a3tqPa"),
    ],
)
def test_references_of_names_that_begin_alike_stand_together(one: str, near: str, far: str) -> None:
    assert payment_ref(one) >> 40 == payment_ref(near) >> 40 != payment_ref(far) >> 40
    assert payment_ref(one) != payment_ref(near)


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_of_any_length_have_references_of_their_own(one: str, other: str) -> None:
    assert (reference("payment", one) == reference("payment", other)) is (one == other)
