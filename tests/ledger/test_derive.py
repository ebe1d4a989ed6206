"""Entries as a whole: their ids, times, amounts, and that they follow from the set of facts alone."""

from itertools import permutations

import pytest

from ledger.derive import derive
from ledger.facts import Fact
from ledger.judge import entry_id
from tests.ledger.build import LATER, POLICY, at, decided, entries, entry, ledger, moved, order, paid, refund

RECORDED: list[Fact] = [order(), order("partially_refunded", 1500, hours=5)]


def test_an_entry_is_named_by_its_smallest_gateway_refund() -> None:
    one = entry(refund("re_2", 500), refund("re_1", 1000), *RECORDED)
    assert one.id == entry_id(("refund", "stripe", "re_1"))
    assert one.anchor == ("refund", "stripe", "re_1")


def test_an_entry_without_a_gateway_refund_is_named_by_its_recorded_refund() -> None:
    one = entry(*RECORDED)
    assert one.anchor == ("recorded", "shop", "1001", one.storefront_refunds[0].id)


def test_a_cancelled_order_names_its_entry() -> None:
    assert entry(paid(), order(cancelled=True)).anchor == ("cancelled", "shop", "1001")


def test_an_id_is_the_same_for_ever() -> None:
    assert entry(refund("re_1")).id == "8c00a3a62e6ca859cdd9eb0bd6c24ba5"


def test_an_entry_opens_with_its_earliest_member_and_matches_with_its_latest() -> None:
    one = entry(refund("re_1", hours=2), *RECORDED)
    assert (one.opened_at, one.matched_at, one.lag) == (at(2), at(5), at(5) - at(2))
    assert one.first_side == "gateway"
    assert entry(refund("re_1", hours=9), *RECORDED).first_side == "storefront"
    assert entry(*RECORDED).first_side == "storefront"
    assert (entry(*RECORDED).matched_at, entry(*RECORDED).lag) == (None, None)


def test_the_source_is_the_gateway_or_else_the_store() -> None:
    assert entry(refund("re_1"), *RECORDED).source == "stripe"
    assert entry(*RECORDED).source == "shop"


def test_the_gateways_amount_is_what_went_back_and_what_is_on_its_way_while_that_is_pending() -> None:
    facts: list[Fact] = [refund("re_1", 1000), refund("re_2", 500, status="pending"), *RECORDED]
    assert entry(*facts, now=at(6)).gateway_amount == 1500
    assert entry(*facts, now=LATER).gateway_amount == 1000


@pytest.mark.parametrize(
    ("facts", "stake"),
    [
        ([refund("re_1"), order()], 1500),
        (RECORDED, 1500),
        ([refund("re_1", 1250), *RECORDED], 250),
        ([refund("re_1", status="failed"), *RECORDED], 1500),
        ([refund("re_1", 1000), refund("re_2", 500, status="pending"), *RECORDED], 500),
        ([refund("re_1", status="pending"), order()], None),
        ([order("partially_refunded")], None),
        ([paid(), order(cancelled=True)], 10000),
        ([refund("re_1", currency="EUR"), *RECORDED], 1500),
    ],
)
def test_an_entry_says_how_much_money_it_is_about(facts: list[Fact], stake: int | None) -> None:
    assert entry(*facts).amount_at_stake == stake


def test_entries_come_in_order_of_opening_and_orders_by_store_and_id() -> None:
    facts: list[Fact] = [
        refund("re_1", hours=9),
        refund("re_2", hours=2),
        order(),
        order(order_id="0", transactions=()),
    ]
    known = derive(facts, POLICY, LATER)
    assert [e.opened_at for e in known.entries] == [at(2), at(9)]
    assert [o.order_id for o in known.orders] == ["0", "1001"]


def test_orders_of_two_stores_with_one_number_are_two() -> None:
    facts: list[Fact] = [*RECORDED, order("partially_refunded", 1500, hours=5, store="second", transactions=())]
    assert len({(e.store, e.id, e.home) for e in entries(*facts)}) == 2


def test_no_facts_no_entries() -> None:
    assert derive([], POLICY, LATER).entries == []


# Whatever order the facts come in: every permutation of small histories that went wrong somewhere.

HISTORIES: dict[str, list[Fact]] = {
    "succeeds, then fails days later": [
        refund("re_1", status="pending"),
        refund("re_1", as_of=at(3)),
        refund("re_1", status="failed", as_of=at(80)),
        order(),
        order("partially_refunded", 1500, hours=4),
    ],
    "two states in one second": [
        refund("re_1", status="pending"),
        refund("re_1"),
        refund("re_1", status="failed"),
        *RECORDED,
    ],
    "the second partial refund": [
        refund("re_1", 6000),
        refund("re_2", 4000, hours=3),
        order("partially_refunded", hours=4),
        order("refunded", hours=5),
        paid(),
    ],
    "aliases that meet late": [
        refund("re_1", payment_ids=("a",)),
        paid(10000, "a", "b"),
        paid(None, "b", "c"),
        paid(None, "c", "pi_1"),
        order("partially_refunded", 1500, hours=5),
    ],
    "refunded, lost, charged back": [
        refund("re_1", 10000),
        moved("", 10000, hours=40),
        moved("t1", 10000, hours=40),
        moved("t2", 4000, hours=60, direction="reinstated"),
        order("refunded", hours=3),
        paid(),
    ],
    "rises and falls at one moment": [
        order("paid", digest="a", hours=2),
        order("partially_refunded", digest="b", hours=2),
        order("refunded", digest="c", hours=2),
        order("partially_refunded", 1500, digest="d", hours=2),
        refund("re_1", hours=9),
    ],
    "documents retried": [
        order("paid", hours=0, origin="document", arrived_at=at(1)),
        order("paid", hours=0, origin="document", arrived_at=at(30)),
        order("refunded", hours=0, origin="document", arrived_at=at(40)),
        order("refunded", 10000, hours=20),
        order("paid", hours=0, origin="document", arrived_at=at(50), cancelled=True),
    ],
    "ambiguous, then linked": [
        refund("re_1"),
        order("partially_refunded", 1500, hours=5),
        order("partially_refunded", 1500, hours=5, order_id="1002"),
        decided("link", entry(refund("re_1")), store="shop", order_id="1002"),
        decided("resolve", entry(refund("re_1")), hours=99),
    ],
    "voided and cancelled": [
        paid(10000),
        paid(None, hours=3, voided=True),
        refund("re_1", 10000, kind="void", hours=3),
        order("voided", hours=4, cancelled=True),
        order(),
    ],
}


@pytest.mark.parametrize("facts", HISTORIES.values(), ids=HISTORIES)
def test_every_order_of_arrival_gives_the_same_entries(facts: list[Fact]) -> None:
    expected = derive(facts, POLICY, LATER)
    for shuffled in permutations(facts):
        assert derive(shuffled, POLICY, LATER) == expected


@pytest.mark.parametrize("facts", HISTORIES.values(), ids=HISTORIES)
def test_every_doubled_fact_gives_the_same_entries(facts: list[Fact]) -> None:
    expected = derive(facts, POLICY, LATER)
    for fact in facts:
        assert derive([fact, *facts, fact], POLICY, LATER) == expected


def test_those_histories_end_as_they_should() -> None:
    assert {name: ledger(*facts) for name, facts in HISTORIES.items()} == {
        "succeeds, then fails days later": [("refund_failed", "re_1", "1500")],
        "two states in one second": [("refund_failed", "re_1", "1500")],
        "the second partial refund": [("matched", "re_1 re_2", "10000")],
        "aliases that meet late": [("matched", "re_1", "1500")],
        "refunded, lost, charged back": [("matched", "re_1", "10000"), ("over_refunded", "dp_1", "")],
        "rises and falls at one moment": [("matched", "re_1", "1500")],
        "documents retried": [("missing_in_gateway", "", "10000")],
        "ambiguous, then linked": [("matched", "re_1", "1500"), ("missing_in_gateway", "", "1500")],
        "voided and cancelled": [("matched", "re_1", "10000")],
    }


def test_an_order_that_a_refund_names_and_nobody_told_of_is_sought_where_it_can_be_asked() -> None:
    facts = [refund("re_1", payment_ids=(), order_refs=("1001", "R-1"))]
    assert derive(facts, POLICY, LATER).sought == [("asked", "1001")]


def test_an_order_is_not_sought_in_a_store_that_the_gateway_does_not_serve() -> None:
    assert derive([refund("7", source="anet", order_refs=("1001",))], POLICY, LATER).sought == []
