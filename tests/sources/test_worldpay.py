"""Worldpay's events: who sent them, which are used, what they say."""
# ruff: noqa: ANN401 - the fields that a test changes have many types

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact
from ledger.instants import from_rfc3339
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.worldpay import Worldpay, WorldpaySettings
from tests.fakes.worldpay import SECRET, event, signed

PUBLISHED = (Path(__file__).parent / "worldpay_payloads" / "refunded.json").read_bytes()
OTHER = "ab" * 32
AT = from_rfc3339("2025-11-02T15:04:05.407Z")
LATER = AT + 10**12


def source(**settings: object) -> Worldpay:
    told = {"kind": "worldpay", "webhook_secrets": [SECRET]} | settings
    return Worldpay("worldpay", WorldpaySettings.model_validate(told))


WORLDPAY = source()


def told(body: bytes, asked: Worldpay = WORLDPAY) -> list[Fact]:
    [message] = asked.messages(Delivery({}, body, LATER))
    assert message.verdict == "used"
    return asked.interpret(Event(1, "worldpay", str(message.key), message.type, message.body, LATER))


def refund(*args: str, asked: Worldpay = WORLDPAY, **changes: Any) -> RefundFact:
    [fact] = told(event(*args, **changes), asked)
    assert isinstance(fact, RefundFact)
    return fact


# Signatures ----------------------------------------------------------------------------------------------------------

BODY = event("refunded")
RIGHT = signed(BODY)["event-signature"]
MAC = hmac.digest(bytes.fromhex(SECRET), BODY, "sha256")


@pytest.mark.parametrize(
    "header",
    [
        RIGHT,
        RIGHT.upper(),
        f"2/SHA256/{'0' * 64},{RIGHT}",
        f"{RIGHT}, 2/SHA256/{'0' * 64}",
        f"junk,,{RIGHT}",
        f"7/SHA256/{base64.b64encode(MAC).decode()}",
        f"7/sha-256/{MAC.hex()}",
    ],
)
def test_one_of_several_signatures_has_to_fit_in_hexadecimal_or_base64(header: str) -> None:
    assert WORLDPAY.authentic(Delivery({"event-signature": header}, BODY, 0))
    assert not WORLDPAY.authentic(Delivery({"event-signature": header}, BODY + b" ", 0))
    assert not source(webhook_secrets=[OTHER]).authentic(Delivery({"event-signature": header}, BODY, 0))


def test_the_header_of_a_rotation_fits_the_old_and_the_new_secret() -> None:
    header = {"event-signature": f"{signed(BODY, OTHER, '2')['event-signature']},{RIGHT}"}

    for secrets in ([SECRET], [OTHER], [OTHER, SECRET]):
        assert source(webhook_secrets=secrets).authentic(Delivery(header, BODY, 0))


WRONG = [
    "",
    "1/SHA256/",
    MAC.hex(),
    f"SHA256/{MAC.hex()}",
    f"1/SHA1/{MAC.hex()}",
    f"1/SHA256/{MAC.hex()}0",
    f"1/SHA256/{MAC.hex()[:-2]}",
    f"1/SHA256/{'g' * 64}",
    f"1/SHA256/{'=' * 44}",
    f"1/SHA256/{'A' * 45}",
    "1/SHA256/" + "\xff" * 64,
    "/" * 100_000,
    "1/SHA256/" + "0" * 64 + f",x/SHA256/{'1' * 64}" * 7 + f",{RIGHT}",
]


@pytest.mark.parametrize("header", WRONG, ids=range(len(WRONG)))
def test_every_other_header_is_refused_and_none_raises(header: str) -> None:
    assert not WORLDPAY.authentic(Delivery({"event-signature": header}, BODY, 0))
    assert not WORLDPAY.authentic(Delivery({}, BODY, 0))


def test_a_secret_is_text_where_the_setting_says_so() -> None:
    header = {"event-signature": f"1/SHA256/{hmac.digest(SECRET.encode(), BODY, 'sha256').hex()}"}

    assert source(signature_key_format="text").authentic(Delivery(header, BODY, 0))
    assert not WORLDPAY.authentic(Delivery(header, BODY, 0))
    with pytest.raises(ValidationError, match="not hexadecimal"):
        source(webhook_secrets=["words"])


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_is_the_id_of_the_event() -> None:
    [message] = WORLDPAY.messages(Delivery({}, BODY, 0))

    assert message == Message("cc55ca5a-e05c-47e1-8e94-e88bac1a0a18", "refunded", BODY)


@pytest.mark.parametrize("event_type", ["refused", "informationRequested", "settled", "refunded2"])
def test_other_events_are_ignored(event_type: str) -> None:
    assert [m.verdict for m in WORLDPAY.messages(Delivery({}, event(event_type), 0))] == ["ignored"]
    with pytest.raises(NotUnderstood, match="not a type"):
        WORLDPAY.interpret(Event(1, "worldpay", "k", "refunded", event(event_type), LATER))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"eventId":"1"}', b'{"eventDetails":{}}'])
def test_what_is_no_event_is_set_aside(body: bytes) -> None:
    [message] = WORLDPAY.messages(Delivery({}, body, 0))

    assert message.verdict == "malformed"
    with pytest.raises(NotUnderstood):
        WORLDPAY.interpret(Event(1, "worldpay", "k", "", message.body, LATER))


# Facts ---------------------------------------------------------------------------------------------------------------


def test_the_published_example_is_understood() -> None:
    at, payment = from_rfc3339("2018-06-13T14:18:13.407Z"), "Memory265-13/08/1876"

    assert told(PUBLISHED) == [
        RefundFact("worldpay", f"{payment}:full:100", "refund", "succeeded", 100, "EUR", at, at, (payment,), (payment,))
    ]


@pytest.mark.parametrize(
    ("event_type", "status", "where_refunded_is_sent"),
    [
        ("sentForRefund", "succeeded", "pending"),
        ("refunded", "succeeded", "succeeded"),
        ("refundFailed", "failed", "failed"),
    ],
)
def test_a_refund_is_known_by_the_payment_and_its_reference(
    event_type: str, status: str, where_refunded_is_sent: str
) -> None:
    fact = refund(event_type)

    assert (fact.id, fact.status, fact.amount, fact.at) == ("1001:partial-refund-1", status, 2500, AT)
    assert refund(event_type, asked=source(refunded_is_sent=True)).status == where_refunded_is_sent


def test_a_full_refund_that_fails_is_the_one_that_was_made() -> None:
    made, failed = refund("sentForRefund", reference=None), refund("refundFailed", reference="")

    [returned] = fold_gateway([failed, made])[1]
    assert (returned.refund.id, returned.refund.status) == ("1001:full:2500", "failed")


@pytest.mark.parametrize(
    ("event_type", "reference", "expected"),
    [
        ("authorized", None, {"authorised": 2500}),
        ("sentForSettlement", None, {"captured": 2500}),
        ("sentForSettlement", "part-1", {}),
        ("sentForCancellation", None, {"voided": True}),
        ("cancelled", None, {"voided": True}),
    ],
)
def test_payments_are_authorised_settled_and_released(
    event_type: str, reference: str | None, expected: dict[str, Any]
) -> None:
    assert told(event(event_type, reference=reference)) == [
        PaymentFact("worldpay", ("1001",), AT, "GBP", order_refs=("1001",), **expected)
    ]


def test_what_was_charged_back_is_given_back_by_the_events_that_the_setting_names() -> None:
    asked = source(chargeback_reversals=["chargebackReversed"])
    taken, again = told(event("chargedBack", "1"), asked), told(event("chargedBack", "2"), asked)
    [given_back] = told(event("chargebackReversed", "3"), asked)

    assert taken == [DisputeFact("worldpay", "1001", "1", "withdrawn", 2500, "GBP", AT, ("1001",))]
    [returned] = fold_gateway([*taken, given_back])[1]
    assert (returned.refund.kind, returned.refund.status) == ("chargeback", "reversed")
    [returned] = fold_gateway([*taken, *again, given_back])[1]
    assert (returned.refund.status, returned.refund.amount) == ("succeeded", 2500)
    assert [m.verdict for m in WORLDPAY.messages(Delivery({}, event("chargebackReversed"), 0))] == ["ignored"]


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 2500), ("ISK", 25), ("GBP", 2500)])
def test_amounts_are_counted_as_iso_4217_has_them_unless_the_setting_says_otherwise(currency: str, minor: int) -> None:
    amount = {"value": 2500, "currencyCode": currency}
    assert refund("refunded", amount=amount, asked=source(currency_decimals={"ISK": 2})).amount == minor


def test_nothing_is_later_than_its_arrival() -> None:
    [fact] = told(BODY.replace(b"2025-11-02T15:04:05.407", b"2999-01-01T00:00:00"))

    assert isinstance(fact, RefundFact)
    assert (fact.at, fact.as_of) == (LATER, LATER)


@pytest.mark.parametrize(
    "changes",
    [
        {"transactionReference": None},
        {"transactionReference": "\u00e9"},
        {"transactionReference": "x" * 250},
        {"reference": ["x"]},
        {"reference": "x" * 256},
        {"amount": None},
        {"amount": {"value": "100", "currencyCode": "EUR"}},
        {"amount": {"value": -100, "currencyCode": "EUR"}},
        {"amount": {"value": 100.5, "currencyCode": "EUR"}},
        {"amount": {"value": 10**30, "currencyCode": "EUR"}},
        {"amount": {"value": 100, "currencyCode": 978}},
    ],
)
def test_what_cannot_be_read_exactly_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told(event("refunded", **changes))
    with pytest.raises(NotUnderstood):
        told(json.dumps(json.loads(BODY) | {"eventTimestamp": 5}).encode())
