"""What Stripe's events say."""

import json
from copy import deepcopy
from typing import Any

import pytest

from ledger.facts import DisputeFact, PaymentFact, RefundFact
from ledger.instants import SECOND
from ledger.payments import fold_gateway
from sources.base import Event, Message, NotUnderstood
from sources.stripe import Stripe, StripeSettings
from tests.sources.stripe_events import CHARGE, INTENT, PAYLOADS, STRIPE, event, interpret, messages


def test_the_identity_of_an_event_is_stripes() -> None:
    body = json.dumps(PAYLOADS["refund.created"]).encode()

    assert messages(body) == [Message("evt_3RkT5cD9XY02abcD1de43186b", "refund.created", body, "used")]


def test_thin_events_are_kept_and_say_nothing_yet() -> None:
    thin = PAYLOADS["thin_v1.refund.created"]

    assert messages(json.dumps(thin).encode())[0].verdict == "used"
    assert interpret(thin) == []


@pytest.mark.parametrize(
    "changes", [{"type": "customer.created"}, {"type": "v1.customer.created"}, {"livemode": True}, {"type": "x" * 255}]
)
def test_other_types_and_the_other_mode_are_ignored(changes: dict[str, Any]) -> None:
    assert [m.verdict for m in messages(json.dumps(PAYLOADS["refund.created"] | changes).encode())] == ["ignored"]


MALFORMED = [b"", b"[]", b"\xff", b'{"id":"evt_1","type":"refund.created"}', b"[" * 100_000, b'{"object":"event"}']
NO_NAME: list[dict[str, Any]] = [
    {"id": None},
    {"id": "a\0"},
    {"id": "\ud800"},
    {"id": "x" * 256},
    {"id": {}},
    {"type": []},
    {"livemode": "false"},
]
MALFORMED += [json.dumps(PAYLOADS["refund.created"] | changes).encode() for changes in NO_NAME]


@pytest.mark.parametrize("body", MALFORMED, ids=[ascii(body[:25]) for body in MALFORMED])
def test_what_has_no_identity_is_set_aside_by_its_hash(body: bytes) -> None:
    [message] = messages(body)

    assert (message.verdict, message.body) == ("malformed", body)
    assert message.key
    assert message.key.startswith("sha256:")
    with pytest.raises(NotUnderstood):
        STRIPE.interpret(Event(1, "stripe", message.key, "", body, 0))


@pytest.mark.parametrize("event_type", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
def test_a_refund_is_told_with_amount_status_times_and_references(event_type: str) -> None:
    assert interpret(event(event_type)) == [
        RefundFact(
            "stripe",
            "re_3RkT5cD9XY02abcD1hIjKlMn",
            "refund",
            "succeeded",
            2550,
            "USD",
            at=1_794_300_000 * SECOND,
            as_of=1_794_300_000 * SECOND,
            payment_ids=(CHARGE, INTENT),
            order_refs=("2077",),
        )
    ]


@pytest.mark.parametrize(("payload", "status"), [("refund.created_pending", "pending"), ("refund.failed", "failed")])
def test_the_status_is_as_of_the_event(payload: str, status: str) -> None:
    [fact] = interpret(PAYLOADS[payload])

    assert isinstance(fact, RefundFact)
    assert fact.status == status
    assert fact.as_of == PAYLOADS[payload]["created"] * SECOND


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "canceled"),
    ],
)
def test_stripes_statuses_become_ours(told: str, status: str) -> None:
    [fact] = interpret(event("refund.updated", status=told))

    assert isinstance(fact, RefundFact)
    assert fact.status == status


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (2550, "usd", 2550),
        (500, "jpy", 500),
        (500, "isk", 5),
        (12300, "UGX", 123),
        (500, "mga", 50000),
        (12340, "kwd", 12340),
        (1500, "huf", 1500),
        (0, "eur", 0),
    ],
)
def test_amounts_are_converted_from_stripes_minor_units(amount: int, currency: str, minor: int) -> None:
    [fact] = interpret(event("refund.created", amount=amount, currency=currency))

    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (minor, currency.upper())


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": -1},
        {"amount": 10**16},
        {"amount": 25.5},
        {"amount": "2550"},
        {"amount": True},
        {"amount": None},
        {"amount": 550, "currency": "isk"},
        {"currency": "usdc"},
        {"currency": None},
        {"status": "new_status"},
        {"status": []},
        {"created": "yesterday"},
        {"created": -1},
        {"id": None},
        {"charge": 3.5},
        {"charge": {"object": "charge"}},
        {"payment_intent": ["pi_1"]},
    ],
    ids=str,
)
def test_a_refund_that_cannot_be_taken_exactly_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        interpret(event("refund.created", **changes))


def test_a_type_that_is_not_used_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        interpret(PAYLOADS["refund.created"] | {"type": "customer.created"})


def test_expanded_objects_are_read_as_their_ids_and_tell_the_order() -> None:
    charge = {"id": CHARGE, "captured": True, "metadata": {"order_number": "A-1"}}
    intent = {"id": INTENT, "metadata": {"order_id": "2077", "order_number": "A-1"}}

    [fact] = interpret(event("refund.created", charge=charge, payment_intent=intent, metadata={}))

    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == (CHARGE, INTENT)
    assert fact.order_refs == ("A-1", "2077")


def test_order_keys_are_a_setting() -> None:
    settings = {"kind": "stripe", "webhook_secrets": "s", "order_keys": ["refund_ref"]}
    source = Stripe("stripe", StripeSettings.model_validate(settings))

    [fact] = source.interpret(Event(1, "", "", "", json.dumps(event("refund.created")).encode(), 0))

    assert isinstance(fact, RefundFact)
    assert fact.order_refs == ("R-1",)


@pytest.mark.parametrize("metadata", [None, [], "x", {"order_id": None}, {"order_id": "a\0"}, {"order_id": "\ud800"}])
def test_metadata_that_tells_no_order_is_passed_over(metadata: object) -> None:
    [fact] = interpret(event("refund.created", metadata=metadata))

    assert isinstance(fact, RefundFact)
    assert fact.order_refs == ()


@pytest.mark.parametrize(
    ("changes", "captured"),
    [({"reason": "expired_uncaptured_charge"}, None), ({"charge": {"id": CHARGE, "captured": False}}, 0)],
    ids=["by its reason", "by its charge"],
)
def test_a_refund_of_what_was_never_captured_is_a_release(changes: dict[str, Any], captured: int | None) -> None:
    """By its reason alone it does not say that nothing was captured: a part may have been before."""
    [fact] = interpret(event("refund.created", **changes))

    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.voided, fact.captured) == ((CHARGE, INTENT), True, captured)


def test_a_release_of_an_unnamed_payment_says_nothing() -> None:
    changes = {"reason": "expired_uncaptured_charge", "charge": None, "payment_intent": None}

    assert interpret(event("refund.created", **changes)) == []


def test_a_refunded_charge_tells_the_payment_and_nothing_of_the_running_total() -> None:
    assert interpret(event("charge.refunded")) == [
        PaymentFact(
            "stripe",
            (CHARGE, INTENT),
            1_794_300_000 * SECOND,
            "USD",
            authorised=10200,
            captured=10200,
            voided=False,
            order_refs=("2077",),
        )
    ]


def test_refunds_listed_in_a_charge_are_told_one_by_one() -> None:
    listed = [
        deepcopy(PAYLOADS["refund.created"]["data"]["object"]) | {"id": f"re_{n}", "amount": n, "charge": None}
        for n in (1000, 1550)
    ]
    for refund in listed:
        del refund["payment_intent"]

    payment, *refunds = interpret(event("charge.refunded", refunds={"object": "list", "data": listed}))

    assert isinstance(payment, PaymentFact)
    assert [(r.id, r.amount, r.payment_ids) for r in refunds if isinstance(r, RefundFact)] == [
        ("re_1000", 1000, (CHARGE, INTENT)),
        ("re_1550", 1550, (CHARGE, INTENT)),
    ]


@pytest.mark.parametrize("refunds", [None, [], "x", {"data": None}, {"object": "list", "data": []}])
def test_a_charge_without_a_list_of_refunds_tells_the_payment_alone(refunds: object) -> None:
    assert len(interpret(event("charge.refunded", refunds=refunds))) == 1


def test_the_refund_of_an_uncaptured_charge_is_a_release() -> None:
    listed = {"data": [PAYLOADS["refund.created"]["data"]["object"]]}

    [fact] = interpret(event("charge.refunded", captured=False, amount_captured=0, refunds=listed))

    assert isinstance(fact, PaymentFact)
    assert (fact.voided, fact.captured, fact.authorised) == (True, 0, 10200)


@pytest.mark.parametrize(
    ("event_type", "changes", "captured", "voided"),
    [
        ("charge.succeeded", {}, 10200, False),
        ("charge.succeeded", {"captured": False, "amount_captured": 0}, 0, False),
        ("charge.captured", {"amount_captured": 7000, "amount_refunded": 3200}, 7000, False),
        ("charge.captured", {"amount_captured": None}, None, False),
        ("charge.expired", {"captured": False, "amount_captured": 0}, 0, True),
        ("charge.expired", {"amount_captured": 7000}, 7000, True),
        ("payment_intent.succeeded", {"amount_received": 10200}, 10200, False),
        ("payment_intent.succeeded", {"amount_received": None}, None, False),
        ("payment_intent.canceled", {}, 0, True),
        ("payment_intent.canceled", {"amount_received": None}, 0, True),
        ("payment_intent.canceled", {"amount_received": 500}, 500, True),
    ],
)
def test_payments_tell_what_was_captured_and_whether_the_rest_was_released(
    event_type: str, changes: dict[str, Any], captured: int | None, *, voided: bool
) -> None:
    [fact] = interpret(event(event_type, **changes))

    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.voided, fact.authorised) == (captured, voided, 10200)
    assert set(fact.ids) == {CHARGE, INTENT}
    assert fact.order_refs == ("2077",)


@pytest.mark.parametrize(
    ("event_type", "changes", "rest"),
    [
        ("charge.captured", {"amount_captured": 7000, "amount_refunded": 3200}, 3200),
        ("charge.captured", {"amount_captured": 7000, "amount_refunded": 0}, 0),  # from 2025-03-31.basil on
        ("charge.captured", {"amount_captured": 7000, "amount_refunded": None}, 0),
        ("charge.captured", {"amount_captured": 7000, "amount_refunded": 1000}, 0),
        ("charge.captured", {"amount_captured": None, "amount_refunded": 3200}, 0),
        ("charge.captured", {"amount_captured": 10200, "amount_refunded": 0}, 0),
        ("charge.refunded", {"amount_captured": 7000, "amount_refunded": 3200}, 0),
    ],
)
def test_what_is_refunded_at_the_moment_of_a_capture_is_the_rest_that_was_released(
    event_type: str, changes: dict[str, Any], rest: int
) -> None:
    [fact] = interpret(event(event_type, **changes))

    assert isinstance(fact, PaymentFact)
    assert fact.released_rest == rest


def test_what_was_read_just_before_a_failure_does_not_outlast_it() -> None:
    """The event tells only the second in which it happened."""
    failed = event("refund.failed", status="failed")
    read = json.dumps(failed["data"]["object"] | {"status": "succeeded"}).encode()
    asked = Event(2, "stripe", "read", "api.refund", read, failed["created"] * SECOND + 200_000)

    facts = [*STRIPE.interpret(asked), *interpret(failed)]

    assert {one.refund.status for one in fold_gateway(facts)[1]} == {"failed"}


def movement(amount: int, currency: str = "usd", name: str = "txn_1") -> dict[str, Any]:
    return {"id": name, "amount": amount, "currency": currency, "created": 1_795_000_000, "fee": 1500}


def test_a_dispute_tells_each_movement_of_its_money() -> None:
    both = [movement(-10200), movement(4000, name="txn_2"), movement(0, name="txn_3")]

    facts = interpret(event("charge.dispute.closed", balance_transactions=both))

    common: Any = {"currency": "USD", "at": 1_795_000_000 * SECOND, "payment_ids": (CHARGE, INTENT)}
    assert facts == [
        DisputeFact("stripe", "du_1RmV5cD9XY02abcDyYxXwWvV", "txn_1", "withdrawn", 10200, **common),
        DisputeFact("stripe", "du_1RmV5cD9XY02abcDyYxXwWvV", "txn_2", "reinstated", 4000, **common),
    ]


def test_a_movement_in_another_currency_counts_in_the_currency_of_the_charge() -> None:
    [fact] = interpret(event("charge.dispute.created", balance_transactions=[movement(-9400, "eur")]))

    assert isinstance(fact, DisputeFact)
    assert (fact.amount, fact.currency) == (10200, "USD")


@pytest.mark.parametrize(
    ("event_type", "directions"),
    [
        ("charge.dispute.funds_withdrawn", ["withdrawn"]),
        ("charge.dispute.funds_reinstated", ["reinstated"]),
        ("charge.dispute.created", []),
        ("charge.dispute.updated", []),
        ("charge.dispute.closed", []),
    ],
)
@pytest.mark.parametrize("movements", [[], None])
def test_without_movements_only_the_events_about_funds_count(
    event_type: str, directions: list[str], movements: object
) -> None:
    facts = interpret(event(event_type, balance_transactions=movements))

    assert [(f.direction, f.movement_id, f.amount) for f in facts if isinstance(f, DisputeFact)] == [
        (direction, "", 10200) for direction in directions
    ]


@pytest.mark.parametrize(
    ("event_type", "changes"),
    [
        ("charge.captured", {"captured": None}),
        ("charge.captured", {"amount": None}),
        ("charge.refunded", {"refunds": {"data": [3]}}),
        ("payment_intent.succeeded", {"id": None}),
        ("charge.dispute.created", {"balance_transactions": "txn_1"}),
        ("charge.dispute.created", {"balance_transactions": ["txn_1"]}),
        ("charge.dispute.created", {"amount": -1}),
    ],
    ids=str,
)
def test_a_payment_or_dispute_that_cannot_be_read_is_not_understood(event_type: str, changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        interpret(event(event_type, **changes))


def test_events_of_connected_accounts_are_taken_like_any_other() -> None:
    payload = event("refund.created") | {"account": "acct_1"}

    assert interpret(payload) == interpret(event("refund.created"))
