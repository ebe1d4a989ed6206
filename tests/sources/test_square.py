"""Square's webhooks: who sent them, which are used, what they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus, decode, encode
from ledger.instants import from_rfc3339
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.square import Square, SquareSettings
from tests.fakes.square import ADDRESS, SIGNATURE_KEY, dispute, event, payment, refund, signed
from tests.sources.questions import open_questions

# Published in square-python-sdk.
PUBLISHED_ADDRESS = "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9"
PUBLISHED_BODY = (
    b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
    b'"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
    b'"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
)
PUBLISHED_SIGNATURE = "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="

AT = from_rfc3339("2026-11-20T12:00:00.836Z")
LATER = from_rfc3339("2026-11-20T12:00:01.846Z")
BODY = event("e1", "refund.created", refund("r1", "p1", 1500))


def source(*secrets: str, **settings: object) -> Square:
    own = {"kind": "square", "webhook_secrets": secrets or (SIGNATURE_KEY,), "notification_url": ADDRESS}
    return Square("square", SquareSettings.model_validate(own | settings))


SQUARE = source()


def told(event_type: str, thing: dict[str, Any], asked: Square = SQUARE) -> list[Fact]:
    return asked.interpret(Event(1, "square", "k", event_type, event("e1", event_type, thing), AT))


# Signatures ----------------------------------------------------------------------------------------------------------


def test_a_published_delivery_is_authentic_at_its_own_address_only() -> None:
    delivery = Delivery({"x-square-hmacsha256-signature": PUBLISHED_SIGNATURE}, PUBLISHED_BODY, AT)

    assert source(notification_url=PUBLISHED_ADDRESS).authentic(delivery)
    assert [m.verdict for m in SQUARE.messages(delivery)] == ["ignored"]
    assert not source(notification_url=PUBLISHED_ADDRESS + "/").authentic(delivery)
    assert not source("another", notification_url=PUBLISHED_ADDRESS).authentic(delivery)


def test_any_of_the_keys_may_sign_while_they_rotate() -> None:
    delivery = Delivery(signed(BODY, "new"), BODY, AT)

    assert source("old", "new").authentic(delivery)
    assert not source("old").authentic(delivery)


RIGHT = signed(BODY)["x-square-hmacsha256-signature"]


@pytest.mark.parametrize("header", ["", RIGHT[:-1], RIGHT + "=", RIGHT.lower(), "\xff" * 44, "\u017f", "A" * 10**5])
def test_every_other_header_is_refused_and_none_raises(header: str) -> None:
    assert not SQUARE.authentic(Delivery({"x-square-hmacsha256-signature": header}, BODY, AT))


def test_no_header_or_another_body_is_refused() -> None:
    assert not SQUARE.authentic(Delivery({"x-square-signature": RIGHT}, BODY, AT))
    assert not SQUARE.authentic(Delivery(signed(BODY), BODY + b" ", AT))


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_of_a_delivery_is_its_event_id_and_type() -> None:
    updated = event("e1", "refund.updated", refund("r1", "p1", 1500))

    assert SQUARE.messages(Delivery({}, BODY, AT)) == [Message("e1:refund.created", "refund.created", BODY, "used")]
    assert [m.key for m in SQUARE.messages(Delivery({}, updated, AT))] == ["e1:refund.updated"]


MALFORMED = [
    b"",
    b"null",
    b"\xff",
    b"[" * 100_000,
    b"[" + BODY + b"]",
    b'{"event_id":"1"}',
    b'{"type":"refund.created"}',
]
MALFORMED += [event("x" * 250, "refund.created", {}), event("\0", "refund.created", {})]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_has_no_identity_is_set_aside_by_its_hash(body: bytes) -> None:
    [message] = SQUARE.messages(Delivery({}, body, AT))

    assert message.verdict == "malformed"
    assert str(message.key).startswith("sha256:")


# What they say -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "read"),
    [("PENDING", "pending"), ("COMPLETED", "succeeded"), ("REJECTED", "failed"), ("FAILED", "failed")],
)
def test_a_refund_has_its_status_and_its_payment(status: str, read: RefundStatus) -> None:
    facts = told("refund.updated", refund("r1", "p1", 1500, status))

    assert facts == [RefundFact("square", "r1", "refund", read, 1500, "GBP", AT, LATER, ("p1",))]


def test_a_refund_as_the_specification_has_it() -> None:
    body = (Path(__file__).parent / "square_payloads" / "refund.created.json").read_bytes()
    made, changed = map(from_rfc3339, ("2020-02-06T21:27:41.836Z", "2020-02-06T21:27:41.846Z"))
    paid = "KkAkhdMsgzn59SM8A89WgKwekxLZY"
    name = f"{paid}_ptNBVqHYxt5gAdfcobBe4u1AZsXhoz06KTtuq9Ls24P"

    [fact] = SQUARE.interpret(Event(1, "square", "k", "refund.created", body, AT))
    assert fact == RefundFact("square", name, "refund", "pending", 1000, "USD", made, changed, (paid,))


def test_an_unlinked_refund_names_no_payment() -> None:
    [fact] = told("refund.updated", refund("r1", "p1", 1500, payment_id=None, unlinked=True))
    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ()


@pytest.mark.parametrize(
    ("status", "authorised", "captured", "voided"),
    [
        ("APPROVED", 2550, 0, False),
        ("PENDING", None, 0, False),
        ("COMPLETED", None, 2550, False),
        ("CANCELED", None, 0, True),
        ("FAILED", None, 0, False),
    ],
)
def test_a_payment_tells_what_was_captured_and_never_its_running_total(
    status: str, authorised: int | None, captured: int, voided: bool
) -> None:
    more = {"reference_id": "1001", "refunded_money": {"amount": 99, "currency": "GBP"}}
    [fact] = told("payment.updated", payment("p1", 2550, status, **more))
    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.authorised, fact.captured, fact.voided) == (("p1",), authorised, captured, voided)
    assert fact.order_refs == ("1001",)


def test_the_tip_was_captured_as_well() -> None:
    thing = payment("p1", 2550, total_money={"amount": 3000, "currency": "GBP"})
    [fact] = told("payment.updated", thing)
    assert isinstance(fact, PaymentFact)
    assert fact.captured == 3000


def chargeback(state: str, asked: Square = SQUARE) -> list[tuple[str, str, int]]:
    facts = [f for s in ("EVIDENCE_REQUIRED", state) for f in told("dispute.state.updated", _dispute(s), asked)]
    assert all(isinstance(fact, DisputeFact) and fact.payment_ids == ("p1",) for fact in facts)
    return [(r.refund.kind, r.refund.status, r.refund.amount) for r in fold_gateway(facts)[1]]


def _dispute(state: str) -> dict[str, Any]:
    return dispute("d1", "p1", 2550, state)


def test_a_dispute_takes_its_money_when_it_opens_and_gives_it_back_when_won() -> None:
    assert [chargeback(state) for state in ("PROCESSING", "LOST", "ACCEPTED")] == [
        [("chargeback", "succeeded", 2550)]
    ] * 3
    assert chargeback("WON") == [("chargeback", "reversed", 2550)]
    assert told("dispute.created", _dispute("INQUIRY_EVIDENCE_REQUIRED")) == []


def test_where_so_set_a_dispute_takes_its_money_only_when_it_is_lost() -> None:
    lost = source(disputes_withdraw="lost")

    assert [chargeback(state, lost) for state in ("PROCESSING", "WON")] == [[], []]
    assert chargeback("LOST", lost) == [("chargeback", "succeeded", 2550)]


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 500), ("GBP", 500), ("KWD", 500)])
def test_amounts_are_minor_units_as_iso_4217_has_them(currency: str, minor: int) -> None:
    [fact] = told("refund.updated", refund("r1", "p1", 0, amount_money={"amount": 500, "currency": currency}))
    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (minor, currency)


HOSTILE: list[dict[str, Any]] = [
    {"id": None},
    {"id": []},
    {"status": None},
    {"status": ["COMPLETED"]},
    {"amount_money": None},
    {"amount_money": 1500},
    {"amount_money": {"amount": "15.00", "currency": "GBP"}},
    {"amount_money": {"amount": 15.5, "currency": "GBP"}},
    {"amount_money": {"amount": True, "currency": "GBP"}},
    {"amount_money": {"amount": -1, "currency": "GBP"}},
    {"amount_money": {"amount": 10**30, "currency": "GBP"}},
    {"amount_money": {"amount": 1500}},
    {"created_at": None},
    {"updated_at": "soon"},
    {"payment_id": {}},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=range(len(HOSTILE)))
def test_a_refund_that_cannot_be_read_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told("refund.updated", refund("r1", "p1", 1500, **changes))


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
THINGS = [
    ("refund.updated", refund("r1", "p1", 1500)),
    ("payment.updated", payment("p1", 1500, reference_id="1001")),
    ("dispute.state.updated", _dispute("WON")),
]


@given(st.sampled_from(THINGS), st.booleans(), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(
    thing: tuple[str, dict[str, Any]], polled: bool, data: st.DataObject
) -> None:
    event_type, told = thing[0], dict(thing[1])
    for _ in range(data.draw(st.integers(1, 3))):
        told[data.draw(st.sampled_from(sorted(told)))] = data.draw(JUNK)
    body = json.dumps(told).encode() if polled else event("e1", event_type, told)
    name = f"api.{event_type.partition('.')[0]}" if polled else event_type
    hostile = Event(1, "square", "k", name, body, AT)

    try:
        facts = SQUARE.interpret(hostile)
    except NotUnderstood:
        return
    assert all(decode(encode(fact)) == fact and "\\u0000" not in encode(fact) for fact in facts)
    assert all(about.isascii() for about in open_questions(SQUARE, hostile))


@pytest.mark.parametrize("data", [None, [], {}, {"object": None}, {"object": {"refund": []}}])
def test_an_event_without_its_object_is_not_understood(data: object) -> None:
    body = json.dumps({"event_id": "e1", "type": "refund.created", "data": data}).encode()

    with pytest.raises(NotUnderstood):
        SQUARE.interpret(Event(1, "square", "k", "refund.created", body, AT))


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"webhook_secrets": []}, "webhook_secrets"),
        ({"notification_url": "refunds.example.com"}, "notification_url"),
        ({"notification_url": None}, "notification_url"),
        ({"disputes_withdraw": "never"}, "disputes_withdraw"),
        ({"api_base": "https://connect.squareup.com/v2"}, "without /v2"),
        ({"accesstoken": "x"}, "accesstoken"),
    ],
)
def test_mistakes_of_the_configuration_are_named(settings: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        source(**settings)
