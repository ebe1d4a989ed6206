"""What is shown of an order is its own, also where other orders hang together with it."""

from typing import Any

from ledger.belonging import facts_of_order
from ledger.facts import Fact
from tests.ledger.build import POLICY, decided, entries, moved, order, paid, refund

OTHER: dict[str, Any] = {"order_id": "1002", "order_refs": ("1002",), "transactions": ("pi_2",)}
MINE: list[Fact] = [order(), paid(10000, "pi_1"), refund("re_1", 1500)]
THEIRS: list[Fact] = [
    order(**OTHER),
    paid(10000, "pi_2"),
    refund("re_2", 1500, payment_ids=("pi_2",)),
    moved("tx_1", 700, payment_ids=("pi_2",)),
]


def of(order_id: str, *facts: Fact) -> set[Fact]:
    return facts_of_order(facts, ("shop", order_id), POLICY)


def test_a_link_that_was_taken_back_brings_no_other_orders_money() -> None:
    stray = refund("re_3", 1500, payment_ids=("pi_3",))
    [unknown] = [e for e in entries(*MINE, *THEIRS, stray) if e.reason == "order_unknown"]
    links = [
        decided("link", unknown, 100, store="shop", order_id="1002"),
        decided("link", unknown, 101, store="shop", order_id="1001"),
    ]
    assert of("1001", *MINE, *THEIRS, stray, *links) == {*MINE, stray, *links}
    assert of("1002", *MINE, *THEIRS, stray, *links) == {*THEIRS, *links}
    taken_back = [*links, decided("unlink", unknown, 102)]
    assert of("1002", *MINE, *THEIRS, stray, *taken_back) == {*THEIRS, stray, *taken_back}


def test_a_link_is_told_with_what_took_it_back() -> None:
    [one] = [e for e in entries(*MINE, *THEIRS) if e.order_id == "1001"]
    link, unlink = decided("link", one, store="shop", order_id="1002"), decided("unlink", one, 101)
    assert of("1002", *MINE, *THEIRS, link, unlink) == {*THEIRS, link, unlink}


def test_what_an_operator_linked_elsewhere_is_still_told_of_the_order_that_it_was_paid_for() -> None:
    [one] = [e for e in entries(*MINE, *THEIRS) if e.order_id == "1001"]
    link = decided("link", one, store="shop", order_id="1002")
    assert of("1001", *MINE, *THEIRS, link) == {*MINE, link}
    assert of("1002", *MINE, *THEIRS, link) == {*THEIRS, *MINE[1:], link}


def test_a_decision_about_another_order_is_not_told() -> None:
    joined = paid(10000, "pi_1", "pi_2")  # a gateway that calls two payments one
    [mine] = [e for e in entries(order("partially_refunded", 1500)) if e.order_id == "1001"]
    note = decided("note", mine)
    assert note in of("1001", order(), order(**OTHER), joined, note)
    assert note not in of("1002", order(), order(**OTHER), joined, note)


def test_what_several_orders_may_own_is_told_of_each() -> None:
    shared: list[Fact] = [paid(10000, "pi_1"), refund("re_1", 1500)]
    twins = [order(), order(order_id="1002")]
    assert of("1001", *twins, *shared) == {twins[0], *shared}
    assert of("1002", *twins, *shared) == {twins[1], *shared}


def test_a_release_of_what_was_never_taken_is_its_payments() -> None:
    released = refund("re_9", 10000, payment_ids=("pi_2",))
    payment = paid(0, "pi_2", voided=True)
    theirs: list[Fact] = [order(**OTHER), payment, released]
    assert of("1002", *MINE, *theirs) == set(theirs)
    assert of("1001", *MINE, *theirs) == set(MINE)
