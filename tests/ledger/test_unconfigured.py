"""Orders that were paid by a gateway for which no source is configured."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.facts import Fact
from ledger.policy import Gateway, Policy, Store
from tests.ledger.build import POLICY, at, decided, entry, ledger, order, paid, refund

BY_PAYPAL: dict[str, Any] = {"method": "Payments.PayPal", "transactions": ("8AB1",)}
RECORDED: list[Fact] = [order(**BY_PAYPAL), order("partially_refunded", 1500, hours=3, **BY_PAYPAL)]


def test_a_recorded_refund_is_closed_and_says_which_payment_method() -> None:
    one = entry(*RECORDED)
    assert (one.status, one.reason, one.unconfigured) == ("closed", None, "Payments.PayPal")
    assert (one.storefront_amount, one.amount_at_stake) == (1500, 1500)
    assert one.explanation == (
        "The recorded refund of 15.00 GBP on order 1001 of shop is closed: "
        "it was paid by Payments.PayPal, and no source is configured for that."
    )


def test_it_is_so_at_once_and_not_after_the_grace_period() -> None:
    assert entry(*RECORDED, now=at(3)).status == "closed"


def test_a_cancelled_order_of_such_a_gateway_raises_nothing() -> None:
    assert ledger(order(cancelled=True, **BY_PAYPAL)) == []


def test_without_any_gateway_every_named_payment_method_is_unconfigured() -> None:
    assert entry(*RECORDED, policy=Policy()).unconfigured == "Payments.PayPal"


def test_once_a_source_is_configured_for_it_the_refund_is_missing() -> None:
    shop = Store(payment_methods={"Payments.PayPal": "paypal"})
    policy = Policy(gateways={"paypal": Gateway()}, stores={"shop": shop})
    one = entry(*RECORDED, policy=policy)
    assert (one.reason, one.unconfigured) == ("missing_in_gateway", None)


STRIPE = Gateway(payment_id_form=r"pi_\w+")


@pytest.mark.parametrize(
    ("gateway", "shop", "facts"),
    [
        (Gateway(), Store(), {}),  # nothing says that it is another one
        (STRIPE, Store(), {"transactions": ()}),
        (STRIPE, Store(), {"transactions": ("pi_7",)}),
        (STRIPE, Store(payment_methods={"Payments.PayPal": "g"}), {}),
        (STRIPE, Store(payment_methods={"Payments.PayPal": "g"}), {"transactions": ()}),
        (Gateway(stores=frozenset({"shop"})), Store(), {}),
        (STRIPE, Store(), {"method": None}),
    ],
)
def test_a_gateway_that_can_be_behind_it_and_has_not_told_yet_is_missing(
    gateway: Gateway, shop: Store, facts: dict[str, Any]
) -> None:
    policy = Policy(gateways={"g": gateway}, stores={"shop": shop})
    told = [order(**BY_PAYPAL | facts), order("partially_refunded", 1500, hours=3, **BY_PAYPAL | facts)]
    assert ledger(*told, policy=policy) == [("missing_in_gateway", "", "1500")]


@pytest.mark.parametrize(
    ("gateway", "shop"),
    [
        (Gateway(stores=frozenset({"second"})), Store()),
        (STRIPE, Store()),
        (Gateway(), Store(payment_methods={"Payments.Other": "g"})),
    ],
)
def test_a_gateway_that_cannot_be_behind_it_does_not_count(gateway: Gateway, shop: Store) -> None:
    policy = Policy(gateways={"g": gateway}, stores={"shop": shop})
    assert entry(*RECORDED, policy=policy).unconfigured == "Payments.PayPal"


def test_a_known_payment_of_a_configured_gateway_says_that_it_is_listened_to() -> None:
    assert ledger(paid(10000, "8AB1", source="anet"), *RECORDED) == [("missing_in_gateway", "", "1500")]


def test_a_refund_that_an_operator_linked_says_so_too() -> None:
    stray = refund("re_1", 500, payment_ids=())
    link = decided("link", entry(stray), store="shop", order_id="1001")
    assert ledger(stray, *RECORDED, link) == [("amount_mismatch", "re_1", "1500")]


def test_what_was_taken_back_is_closed_for_that_and_nothing_else() -> None:
    one = entry(*RECORDED, order("paid", 0, hours=5, **BY_PAYPAL))
    assert (one.status, one.unconfigured) == ("closed", None)


def test_a_method_among_the_offline_ones_is_never_unconfigured() -> None:
    policy = replace(POLICY, stores={"shop": Store(offline_methods=frozenset({"Payments.PayPal"}))})
    one = entry(*RECORDED, policy=policy)
    assert (one.status, one.unconfigured) == ("closed", None)
