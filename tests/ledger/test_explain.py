"""Every entry carries one plain sentence."""

import pytest

from ledger.facts import Fact
from tests.ledger.build import LATER, at, decided, entries, entry, moved, order, paid, refund

RECORDED: list[Fact] = [order(), order("partially_refunded", 1500, hours=5)]
WHERE = "order 1001 of shop"
FOUND = "(order found by payment pi_1)"


@pytest.mark.parametrize(
    ("facts", "now", "sentence"),
    [
        (
            [refund("re_1"), *RECORDED],
            LATER,
            (
                f"Stripe refund re_1 of 15.00 GBP and the recorded refund of 15.00 GBP on {WHERE} agree: "
                f"equal amounts {FOUND}."
            ),
        ),
        (
            [refund("re_1", 1000), refund("re_2", 500), *RECORDED],
            LATER,
            (
                "Stripe refund re_1 of 10.00 GBP and stripe refund re_2 of 5.00 GBP and the recorded refund of "
                f"15.00 GBP on {WHERE} agree: the amounts add up {FOUND}."
            ),
        ),
        ([refund("re_1"), order()], LATER, f"Stripe refund re_1 of 15.00 GBP is not recorded on {WHERE} {FOUND}."),
        (
            [refund("re_1"), order()],
            at(3),
            f"Stripe refund re_1 of 15.00 GBP is not recorded on {WHERE} {FOUND}; waiting, until 2026-11-02T02:00:00Z.",
        ),
        (
            [refund("re_1", status="pending"), *RECORDED],
            at(6),
            (
                "Stripe refund re_1 of 15.00 GBP (pending) and the recorded refund of 15.00 GBP on "
                f"{WHERE} agree: equal amounts {FOUND}; the gateway has not finished, until 2026-11-08T02:00:00Z."
            ),
        ),
        (
            [refund("re_1", status="pending"), order()],
            LATER,
            (
                f"Stripe refund re_1 of 15.00 GBP (pending) is not recorded on {WHERE} {FOUND}; the gateway has not "
                "finished it within the limit for pending refunds."
            ),
        ),
        (RECORDED, LATER, f"The recorded refund of 15.00 GBP on {WHERE} has no gateway refund that pays it."),
        (
            [refund("re_1", 1250), *RECORDED],
            LATER,
            (
                "Stripe refund re_1 of 12.50 GBP and the recorded refund of 15.00 GBP on "
                f"{WHERE} differ in amount: the only ones left {FOUND}."
            ),
        ),
        (
            [refund("re_1", 1250, currency="JPY"), *RECORDED],
            LATER,
            (
                "Stripe refund re_1 of 1250 JPY and the recorded refund of 15.00 GBP on "
                f"{WHERE} are in different currencies: the only ones left {FOUND}."
            ),
        ),
        (
            [refund("re_1", status="failed"), *RECORDED],
            LATER,
            (
                f"The recorded refund of 15.00 GBP on {WHERE} is not paid in full by stripe refund re_1 of 15.00 "
                f"GBP (failed): equal amounts {FOUND}."
            ),
        ),
        (
            [refund("re_1", 1000), refund("re_2", 500, status="failed"), *RECORDED],
            LATER,
            (
                f"The recorded refund of 15.00 GBP on {WHERE} is not paid in full by stripe refund re_1 of 10.00 "
                f"GBP and stripe refund re_2 of 5.00 GBP (failed): the amounts add up {FOUND}."
            ),
        ),
        (
            [refund("re_1", status="canceled"), order()],
            LATER,
            (
                f"Stripe refund re_1 of 15.00 GBP (canceled) on {WHERE} is closed: it was canceled, and nothing "
                f"recorded waits for it {FOUND}."
            ),
        ),
        (
            [refund("re_1", status="failed")],
            LATER,
            (
                "Stripe refund re_1 of 15.00 GBP (failed) on no known order is closed: it failed, and nothing recorded "
                "waits for it."
            ),
        ),
        (
            [moved("t1", 500), moved("t2", 500, direction="reinstated"), order()],
            LATER,
            (
                f"Stripe chargeback dp_1 of 5.00 GBP (reversed) on {WHERE} is closed: "
                f"the chargeback was given back {FOUND}."
            ),
        ),
        (
            [*RECORDED, order("paid", 0, hours=9)],
            LATER,
            f"The recorded refund of 0.00 GBP on {WHERE} is closed: the recorded refund was taken back.",
        ),
        (
            [paid(1000), refund("re_1"), order()],
            LATER,
            f"Stripe refund re_1 of 15.00 GBP on {WHERE} goes beyond the 10.00 GBP that was captured {FOUND}.",
        ),
        (
            [refund("re_1"), order("partially_refunded", hours=5)],
            LATER,
            (
                "Stripe refund re_1 of 15.00 GBP and a recorded partial refund of unknown amount on "
                f"{WHERE} agree: the storefront told a partial refund without an amount {FOUND}."
            ),
        ),
        (
            [paid(10000), refund("re_1", kind="void"), order(cancelled=True)],
            LATER,
            f"Stripe void re_1 of 100.00 GBP settles the cancellation of {WHERE} {FOUND}.",
        ),
        (
            [refund("re_1")],
            LATER,
            "No order carries the payment or order reference of stripe refund re_1 of 15.00 GBP.",
        ),
        (
            [refund("re_1"), order(), order(order_id="1002")],
            LATER,
            "Several orders carry the reference of stripe refund re_1 of 15.00 GBP.",
        ),
        (
            [paid(10000), order(cancelled=True)],
            LATER,
            (
                "Order 1001 of shop was cancelled at 2026-11-01T01:00:00Z, and of the 100.00 GBP captured 100.00 GBP "
                "has not gone back."
            ),
        ),
        (
            [paid(10000), order(cancelled=True)],
            at(3),
            (
                "Order 1001 of shop was cancelled at 2026-11-01T01:00:00Z, and of the 100.00 GBP captured 100.00 GBP "
                "has not gone back; waiting, until 2026-11-02T01:00:00Z."
            ),
        ),
        (
            [paid(10000), order(cancelled=True), order(hours=9)],
            LATER,
            "Order 1001 of shop was cancelled at 2026-11-01T01:00:00Z and is not cancelled any more.",
        ),
    ],
)
def test_the_sentence_says_why_and_from_which_facts(facts: list[Fact], now: int, sentence: str) -> None:
    assert entry(*facts, now=now).explanation == sentence


def test_the_sentence_names_a_few_members_and_counts_the_rest() -> None:
    one = entry(*(refund(f"re_{i}", 300) for i in range(5)), *RECORDED)
    assert "re_2 of 3.00 GBP and 2 more and the recorded" in one.explanation


def test_the_sentence_names_who_linked() -> None:
    facts: list[Fact] = [refund("re_1"), order(transactions=())]
    link = decided("link", entries(*facts)[0], store="shop", order_id="1001")
    assert "(order linked by ann)" in entry(*facts, link).explanation
