"""Checkout.com's webhooks: who sent them, which are used, what they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact
from ledger.instants import from_rfc3339
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.checkout import Checkout, CheckoutSettings
from tests.fakes.checkout import PAYMENT, SECRET, dispute, event, signed

PUBLISHED = (Path(__file__).parent / "checkout_payloads" / "payment_refunded.json").read_bytes()
AT = from_rfc3339("2025-11-02T15:04:05.123456Z")
SENT = from_rfc3339("2025-11-02T15:04:06Z")
LATER = SENT + 10**12


def source(**settings: object) -> Checkout:
    told = {"kind": "checkout", "webhook_secrets": [SECRET]} | settings
    return Checkout("checkout", CheckoutSettings.model_validate(told))


CHECKOUT = source()


def told(body: bytes, asked: Checkout = CHECKOUT) -> list[Fact]:
    [message] = asked.messages(Delivery({}, body, LATER))
    assert message.verdict == "used"
    return asked.interpret(Event(1, "checkout", str(message.key), message.type, message.body, LATER))


def refund(body: bytes, asked: Checkout = CHECKOUT) -> RefundFact:
    fact = told(body, asked)[0]
    assert isinstance(fact, RefundFact)
    return fact


def returned(*bodies: bytes) -> dict[str, tuple[str, str, int]]:
    """What went back, by id: kind, status, amount."""
    facts = [fact for body in bodies for fact in told(body)]
    return {r.refund.id: (r.refund.kind, r.refund.status, r.refund.amount) for r in fold_gateway(facts)[1]}


# Signatures ----------------------------------------------------------------------------------------------------------

BODY = event("payment_refunded")
RIGHT = signed(BODY)["cko-signature"]


def test_the_signature_is_over_the_raw_bytes_with_any_of_the_keys_while_they_rotate() -> None:
    foreign = '{"id":"evt_1","type":"x","name":"Zoë"}'.encode("latin-1")

    assert CHECKOUT.authentic(Delivery(signed(BODY), BODY, 0))
    assert CHECKOUT.authentic(Delivery({"cko-signature": f" {RIGHT.upper()} "}, BODY, 0))
    assert CHECKOUT.authentic(Delivery(signed(foreign), foreign, 0))
    assert source(webhook_secrets=["new", SECRET]).authentic(Delivery(signed(BODY), BODY, 0))
    assert not CHECKOUT.authentic(Delivery(signed(BODY), BODY + b" ", 0))
    assert not source(webhook_secrets=["new"]).authentic(Delivery(signed(BODY), BODY, 0))


@pytest.mark.parametrize(
    "header", ["", RIGHT[:-1], RIGHT + "0", "0" * 64, "\xff" * 64, "\u0130" * 64, f"{RIGHT},{RIGHT}"]
)
def test_every_other_header_is_refused_and_none_raises(header: str) -> None:
    assert not CHECKOUT.authentic(Delivery({"cko-signature": header}, BODY, 0))
    assert not CHECKOUT.authentic(Delivery({}, BODY, 0))


def test_the_fixed_header_is_wanted_besides_the_signature_where_there_is_one() -> None:
    guarded = source(webhook_authorization="fixed")

    assert guarded.authentic(Delivery(signed(BODY) | {"authorization": "fixed"}, BODY, 0))
    for header in ("", "Fixed", "fixed2", "\xff"):
        assert not guarded.authentic(Delivery(signed(BODY) | {"authorization": header}, BODY, 0))
    assert not guarded.authentic(Delivery({"authorization": "fixed"}, BODY, 0))


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_is_the_id_of_the_event() -> None:
    [message] = CHECKOUT.messages(Delivery({}, BODY, 0))

    assert message == Message("evt_rmbwhvwacc7u5iczmz2tdcogum", "payment_refunded", BODY)


@pytest.mark.parametrize("event_type", ["payment_declined", "dispute_received", "card_verified", "payment_refunded "])
def test_other_events_are_ignored(event_type: str) -> None:
    assert [m.verdict for m in CHECKOUT.messages(Delivery({}, event(event_type), 0))] == ["ignored"]
    with pytest.raises(NotUnderstood, match="not a type"):
        CHECKOUT.interpret(Event(1, "checkout", "k", "payment_refunded", event(event_type), LATER))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"id":"1"}', b'{"id":"","type":"x"}'])
def test_what_is_no_event_is_set_aside(body: bytes) -> None:
    [message] = CHECKOUT.messages(Delivery({}, body, 0))

    assert message.verdict == "malformed"
    with pytest.raises(NotUnderstood):
        CHECKOUT.interpret(Event(1, "checkout", "k", "", message.body, LATER))


# Facts ---------------------------------------------------------------------------------------------------------------


def test_the_published_example_is_understood() -> None:
    at = from_rfc3339("2020-02-03T11:35:03Z")
    ids = ("pay_pswr5qaqzzferh2puzfyrefzuy",)

    assert told(PUBLISHED) == [
        RefundFact("checkout", "act_7fmebms4rtmuja2poigylogjk4", "refund", "succeeded", 200, "GBP", at, at, ids,
                   ("ORD-5023-4E89",)),
        PaymentFact("checkout", ids, at, "GBP", captured=200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("payment_refund_pending", "pending"),
        ("payment_refunded", "succeeded"),
        ("payment_refund_declined", "failed"),
    ],
)
def test_a_refund_is_its_action_and_never_the_running_total(event_type: str, status: str) -> None:
    fact = refund(event(event_type))

    assert (fact.id, fact.status, fact.amount) == ("act_7fmebms4rtmuja2poigylogjk4", status, 2500)
    assert (fact.at, fact.as_of) == (AT, SENT)


def test_a_refund_without_balances_tells_nothing_of_what_was_captured() -> None:
    assert len(told(event("payment_refund_pending", balances=None, response_code=None))) == 1


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("payment_approved", {"authorised": 2500}),
        ("payment_captured", {}),
        ("payment_voided", {"voided": True}),
        ("payment_canceled", {"voided": True}),
    ],
)
def test_payments_are_approved_captured_and_released(event_type: str, expected: dict[str, Any]) -> None:
    base: dict[str, Any] = {"captured": 10000, "order_refs": ("1001",)}
    assert told(event(event_type)) == [PaymentFact("checkout", (PAYMENT,), SENT, "GBP", **(base | expected))]
    base["captured"] = None
    assert told(event(event_type, balances=None)) == [
        PaymentFact("checkout", (PAYMENT,), SENT, "GBP", **(base | expected))
    ]


def test_the_release_of_what_was_never_captured_returned_nothing() -> None:
    none = {"total_captured": 0}
    assert returned(event("payment_approved", balances=none), event("payment_voided", balances=none)) == {}


def test_a_payment_that_the_bank_took_back_is_like_a_chargeback_and_a_payout_is_not() -> None:
    assert told(event("payment_returned")) == [
        DisputeFact("checkout", "act_7fmebms4rtmuja2poigylogjk4", "", "withdrawn", 2500, "GBP", AT, (PAYMENT,))
    ]
    assert told(event("payment_returned", destination={"type": "bank_account"})) == []


@pytest.mark.parametrize("end", ["dispute_won", "dispute_canceled", "dispute_resolved"])
def test_a_dispute_takes_its_money_once_and_gives_it_back_once(end: str) -> None:
    opened, lost = dispute("dispute_evidence_required", "evt_1"), dispute("dispute_lost", "evt_2")
    dispute_id = "dsp_9rjdlsd4epepfjyyf9vl"

    assert returned(opened, lost) == {dispute_id: ("chargeback", "succeeded", 10000)}
    assert returned(lost) == {dispute_id: ("chargeback", "succeeded", 10000)}
    assert returned(dispute(end, "evt_3"), opened, opened) == {dispute_id: ("chargeback", "reversed", 10000)}
    assert returned(dispute(end, "evt_3")) == {}


def test_references_of_the_order_stand_where_order_keys_say() -> None:
    body = event("payment_refunded", reference="refund-5", metadata={"order_id": 1001, "order_number": ["x"]})

    assert refund(body).order_refs == ("refund-5", "1001")
    assert refund(body, source(order_keys=["order_id"])).order_refs == ("1001",)
    assert refund(event("payment_refunded", reference=None, metadata="x")).order_refs == ()


@pytest.mark.parametrize(("currency", "minor"), [("CLP", 25), ("JPY", 2500), ("BHD", 2500), ("GBP", 2500)])
def test_amounts_are_counted_as_checkout_counts_them(currency: str, minor: int) -> None:
    assert refund(event("payment_refunded", currency=currency)).amount == minor
    assert refund(event("payment_refunded", currency="CLP"), source(currency_decimals={})).amount == 2500


def test_nothing_is_later_than_its_arrival() -> None:
    body = event("payment_refunded", processed_on="2999-01-01T00:00:00Z").replace(
        b"2025-11-02T15:04:06Z", b"2999-01-01"
    )
    fact = refund(body)

    assert (fact.at, fact.as_of) == (LATER, LATER)
    assert refund(event("payment_refunded", processed_on=None)).at == SENT


@pytest.mark.parametrize(
    "body",
    [
        event("payment_refunded", action_id=None),
        event("payment_refunded", action_id=["act"]),
        event("payment_refunded", id=None),
        event("payment_refunded", amount=None),
        event("payment_refunded", amount="2500"),
        event("payment_refunded", amount=25.5),
        event("payment_refunded", amount=-1),
        event("payment_refunded", amount=10**30),
        event("payment_refunded", currency=None),
        event("payment_refunded", currency="CLP", amount=2550),
        event("payment_refunded", processed_on="now"),
        event("payment_refunded", response_code="20005"),
        event("payment_refunded", balances={"total_captured": "100"}),
        event("payment_captured", id={}),
        dispute("dispute_won", "evt_1", amount=None).replace(b'"amount": null', b'"x": 1'),
        dispute("dispute_won", "evt_1", payment_id=None),
        dispute("dispute_won", "evt_1", id=""),
        json.dumps({"id": "evt_1", "type": "payment_refunded", "created_on": "2025-11-02", "data": []}).encode(),
        json.dumps({"id": "evt_1", "type": "payment_refunded", "data": {}}).encode(),
    ],
)
def test_what_cannot_be_read_exactly_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        told(body)
