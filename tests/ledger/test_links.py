"""Rule 2: which order a payment or a gateway refund belongs to; and which orders a gateway took money for."""

from typing import Any

import pytest

from ledger.facts import Fact, OrderFact
from tests.ledger.build import decided, entries, entry, ledger, order, paid, refund

REFUNDED: dict[str, Any] = {"status": "partially_refunded", "refunded": 1500, "hours": 3}
ELSEWHERE: dict[str, Any] = {"order_id": "1002", "order_refs": ("1002",), "transactions": ("pi_2",)}


def home(*facts: Fact) -> tuple[str | None, str | None]:
    [one] = [e for e in entries(*facts) if e.gateway_refunds]
    return one.store, one.order_id


# (b) the payment reference


@pytest.mark.parametrize("transaction", ["pi_1", "ch_1"])
def test_any_of_the_payments_ids_may_be_any_of_the_orders_references(transaction: str) -> None:
    facts: list[Fact] = [refund("re_1", payment_ids=("pi_1", "ch_1")), order(transactions=("other", transaction))]
    assert home(*facts) == ("shop", "1001")


def test_an_alias_that_only_the_payment_tells_leads_to_the_order() -> None:
    assert home(refund("re_1", payment_ids=("ch_1",)), paid(10000, "ch_1", "pi_1"), order()) == ("shop", "1001")


def test_the_payment_reference_goes_before_the_order_reference() -> None:
    assert home(refund("re_1", order_refs=("1002",)), order(), order(**ELSEWHERE, hours=1)) == ("shop", "1001")


def test_an_order_that_was_paid_by_another_gateway_does_not_carry_the_payment() -> None:
    assert home(refund("re_1"), order(method="Payments.Anet")) == (None, None)


def test_several_orders_with_the_payment_are_ambiguous_and_suggested() -> None:
    twins = [order(), order(order_id="1002")]
    one = entry(refund("re_1"), *twins)
    assert (one.reason, one.order_id) == ("order_ambiguous", None)
    assert [(s.store, s.order_id, s.reason) for s in one.suggestions] == [
        ("shop", "1001", "carries payment pi_1"),
        ("shop", "1002", "carries payment pi_1"),
    ]


# (c) the order reference in the gateway's data


@pytest.mark.parametrize("text", ["1001", "5f1c0f6c-8a1b-4d6e-b"], ids=["the order id", "the opening of its guid"])
def test_an_order_reference_in_the_refunds_data_leads_to_the_order(text: str) -> None:
    facts: list[Fact] = [
        refund("re_1", order_refs=(text,)),
        order(transactions=(), order_refs=("1001", "5f1c0f6c-8a1b-4d6e-b")),
    ]
    assert home(*facts) == ("shop", "1001")


def test_an_order_reference_in_the_payments_data_leads_to_the_order() -> None:
    assert home(refund("re_1"), paid(order_refs=("1001",)), order(transactions=())) == ("shop", "1001")


def test_the_payments_order_reference_stands_in_where_the_refunds_own_leads_nowhere() -> None:
    stray = refund("re_1", order_refs=("R-77",))
    assert home(order(transactions=()), paid(order_refs=("1001",)), stray) == ("shop", "1001")


def test_the_refunds_own_order_reference_goes_before_its_payments() -> None:
    other = order(order_id="2002", transactions=(), order_refs=("2002",))
    named = refund("re_1", order_refs=("2002",))
    assert home(order(transactions=()), other, paid(order_refs=("1001",)), named) == ("shop", "2002")


@pytest.mark.parametrize(
    ("there", "linked"),
    [
        ({"store": "second"}, True),
        ({"store": "asked"}, False),
        ({"currency": "EUR"}, False),
        ({"currency": None}, False),
        ({"transactions": ("424242",), "method": "Payments.Anet"}, False),
        ({"transactions": ("424242",)}, True),
    ],
    ids=["a store that the gateway serves", "one that it does not", "another currency", "an unknown currency",
         "the order names another payment of that gateway", "the order names a payment of no known gateway"],
)  # fmt: skip
def test_an_order_reference_counts_within_limits(there: dict[str, Any], linked: bool) -> None:
    mentions = refund("r1", source="anet", payment_ids=("777",), order_refs=("1001",))
    assert (home(mentions, order(**{"transactions": ()} | there)) != (None, None)) is linked


@pytest.mark.parametrize("other", ["pi_2", "424242"], ids=["by its form", "by a known payment"])
def test_an_order_that_names_another_payment_of_that_gateway_is_not_meant(other: str) -> None:
    facts: list[Fact] = [refund("re_1", order_refs=("1001",)), paid(500, "424242"), order(transactions=(other,))]
    assert home(*facts) == (None, None)


def test_a_refund_that_names_no_payment_is_not_another_payments() -> None:
    # Authorize.net's webhook tells the invoice number only; the payment is told by its API, where there is one.
    mentions = refund("r1", source="anet", payment_ids=(), order_refs=("1001",))
    assert home(mentions, order(transactions=("777",), method="Payments.Anet")) == ("shop", "1001")


def test_several_orders_with_the_reference_are_ambiguous_and_suggested() -> None:
    one = entry(refund("re_1", order_refs=("1001",)), order(transactions=()), order(transactions=(), store="second"))
    assert one.reason == "order_ambiguous"
    assert [s.reason for s in one.suggestions] == ["has order reference 1001"] * 2


def test_a_refund_that_nothing_leads_to_an_order_is_unknown() -> None:
    one = entry(refund("re_1"))
    assert (one.reason, one.order_id, one.store, one.suggestions) == ("order_unknown", None, None, ())


# (a) an operator's link


def test_an_operators_link_goes_before_every_reference() -> None:
    facts: list[Fact] = [refund("re_1"), order(), order(**ELSEWHERE, hours=1)]
    link = decided("link", entry(*facts), store="shop", order_id="1002")
    assert home(*facts, link) == ("shop", "1002")
    assert "linked by ann" in entry(*facts, link).explanation


def test_an_operators_link_applies_to_all_the_entrys_refunds() -> None:
    facts: list[Fact] = [refund("re_1", 500), refund("re_2", 1000), order(**REFUNDED)]
    facts.append(order(**ELSEWHERE | REFUNDED))
    link = decided("link", next(e for e in entries(*facts) if e.gateway_refunds), store="shop", order_id="1002")
    assert [e.order_id for e in entries(*facts, link) if e.gateway_refunds] == ["1002"]


def test_an_unlink_lets_the_rules_decide_again() -> None:
    facts: list[Fact] = [refund("re_1"), order(), order(**ELSEWHERE, hours=1)]
    link = decided("link", entry(*facts), hours=100, store="shop", order_id="1002")
    unlink = decided("unlink", entry(*facts, link), hours=101)
    assert home(*facts, unlink, link) == ("shop", "1001")


def test_only_link_and_unlink_move_a_refund() -> None:
    facts: list[Fact] = [refund("re_1"), order(), order(**ELSEWHERE, hours=1)]
    seen = entry(*facts)
    link = decided("link", seen, hours=100, store="shop", order_id="1002")
    note = decided("note", seen, hours=101, store="shop", order_id="1001", refunds=link.refunds)
    assert home(*facts, link, note) == ("shop", "1002")


def test_a_link_to_an_order_that_is_not_known_yet_waits_for_it() -> None:
    facts: list[Fact] = [refund("re_1"), order()]
    link = decided("link", entry(*facts), store="shop", order_id="1002")
    assert home(*facts, link) == ("shop", "1001")
    assert home(*facts, link, order(**ELSEWHERE, hours=1)) == ("shop", "1002")


# Rule 3: whether the order's total stands in for what was captured


def cancelled(**more: Any) -> OrderFact:  # noqa: ANN401 - any field
    return order(cancelled=True, **more)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({}, True),
        ({"transactions": ("424242",), "method": "Payments.Stripe"}, True),
        ({"transactions": ("424242",)}, False),
        ({"transactions": ()}, False),
        ({"transactions": (), "method": "Payments.Stripe"}, False),
        ({"method": "Payments.PurchaseOrder"}, False),
        ({"status": "authorized"}, False),
        ({"status": "voided"}, False),
        ({"total": None}, False),
    ],
    ids=["by its form", "by the payment method", "of no known gateway", "no reference", "no reference, known method",
         "on account", "never paid", "voided", "no total"],
)  # fmt: skip
def test_the_orders_total_stands_in_for_an_unknown_captured_total(there: dict[str, Any], expected: bool) -> None:
    assert ledger(cancelled(**there)) == ([("cancelled_not_refunded", "", "expects 10000")] if expected else [])


def test_a_known_payment_makes_the_orders_reference_a_gateways() -> None:
    facts: list[Fact] = [paid(None, "424242"), cancelled(transactions=("424242",))]
    assert ledger(*facts) == [("cancelled_not_refunded", "", "expects 10000")]


def test_the_orders_total_does_not_stand_in_where_the_currencies_differ() -> None:
    assert ledger(paid(None, currency="USD"), cancelled()) == []
    assert ledger(refund("re_1", currency="USD"), cancelled()) == [("missing_in_storefront", "re_1", "")]


def test_the_payment_goes_before_the_orders_total() -> None:
    assert ledger(paid(7000), cancelled()) == [("cancelled_not_refunded", "", "expects 7000")]


def test_an_order_that_was_paid_twice_had_both_captured() -> None:
    facts: list[Fact] = [paid(7000), paid(2000, "pi_2"), cancelled(transactions=("pi_1", "pi_2"))]
    assert ledger(*facts) == [("cancelled_not_refunded", "", "expects 9000")]


def test_a_payment_of_which_nothing_was_told_leaves_the_total_to_the_order() -> None:
    facts: list[Fact] = [paid(5000), refund("re_2", 5000, payment_ids=("pi_2",)), order(transactions=("pi_1", "pi_2"))]
    assert ledger(*facts, refund("re_1", 5000)) == [
        ("missing_in_storefront", "re_1", ""),
        ("missing_in_storefront", "re_2", ""),
    ]


def test_a_payment_on_several_orders_says_of_none_what_was_captured_for_it() -> None:
    facts: list[Fact] = [paid(20000), refund("re_1", 10000), cancelled(), cancelled(order_id="1002")]
    ambiguous = next(e for e in entries(*facts) if e.gateway_refunds)
    link = decided("link", ambiguous, store="shop", order_id="1001")
    assert ledger(*facts, link) == [
        ("cancelled_not_refunded", "", "expects 10000"),
        ("missing_in_storefront", "re_1", ""),
    ]


def test_a_payment_belongs_to_the_order_to_which_its_refund_was_linked() -> None:
    facts: list[Fact] = [paid(5000), refund("re_1", 3000), refund("re_2", 3000, hours=3), order(transactions=())]
    links: list[Fact] = [
        decided("link", e, hours=100 + i, store="shop", order_id="1001") for i, e in enumerate(entries(*facts))
    ]
    assert ledger(*facts, *links) == [("missing_in_storefront", "re_1", ""), ("over_refunded", "re_2", "")]


def test_what_went_back_of_a_payment_counts_together_whether_its_order_is_known_or_not() -> None:
    facts: list[Fact] = [paid(10000), refund("re_1", 8000), refund("re_2", 8000, hours=3), order(transactions=())]
    assert ledger(*facts) == [("order_unknown", "re_1", ""), ("over_refunded", "re_2", "")]
    first = next(e for e in entries(*facts) if e.gateway_refunds[0].id == "re_1")
    link = decided("link", first, store="shop", order_id="1001")
    assert ledger(*facts, link) == [("missing_in_storefront", "re_1", ""), ("over_refunded", "re_2", "")]


def test_a_payment_whose_refunds_were_linked_to_several_orders_says_of_none_what_was_captured() -> None:
    facts: list[Fact] = [paid(10000), refund("re_1", 6000), refund("re_2", 4000, hours=3)]
    links: list[Fact] = []
    for number, (one, recorded) in enumerate(zip(entries(*facts), (6000, 4000), strict=True)):
        told: dict[str, Any] = {"order_id": str(number), "total": recorded, "order_refs": (), "transactions": ()}
        facts += [order(**told), order("refunded", recorded, hours=4, cancelled=True, **told)]
        links.append(decided("link", one, hours=100 + number, store="shop", order_id=str(number)))
    assert ledger(*facts, *links) == [("matched", "re_1", "6000"), ("matched", "re_2", "4000")]
