"""Adyen's webhooks: who sent them, which are used, what they say."""
# ruff: noqa: ANN401 - the fields that a test changes have many types

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact
from ledger.instants import from_rfc3339
from ledger.payments import fold_gateway
from sources.adyen import Adyen, AdyenSettings
from sources.base import Delivery, Event, NotUnderstood
from tests.fakes.adyen import KEY, item, notification

PUBLISHED = sorted((Path(__file__).parent / "adyen_payloads").iterdir())
# From the tests of Adyen's own libraries, with the key above.
VECTOR = {
    "pspReference": "7914073381342284",
    "merchantReference": "TestPayment-1407325143704",
    "merchantAccountCode": "TestMerchant",
    "amount": {"currency": "EUR", "value": 1130},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
}
OTHER_KEY = "00" * 32
AT = from_rfc3339("2025-11-02T15:04:05Z")
LATER = AT + 10**12


def source(**settings: object) -> Adyen:
    return Adyen("adyen", AdyenSettings.model_validate({"kind": "adyen", "webhook_secrets": [KEY]} | settings))


ADYEN = source()


def arrived(body: bytes, **headers: str) -> Delivery:
    return Delivery(headers, body, LATER)


def told(code: str, asked: Adyen = ADYEN, **changes: Any) -> list[Fact]:
    [message] = asked.messages(arrived(notification(item(code, **changes))))
    assert message.verdict == "used"
    return asked.interpret(Event(1, "adyen", str(message.key), message.type, message.body, LATER))


def refund(status: Any, **changes: Any) -> RefundFact:
    standing: dict[str, Any] = {"kind": "refund", "amount": 2500, "currency": "GBP", "at": AT, "as_of": AT}
    standing |= {"payment_ids": ("PAYMENT000000001",), "order_refs": ("1001",)}
    return RefundFact("adyen", "REFUND0000000001", status=status, **(standing | changes))


# Signatures ----------------------------------------------------------------------------------------------------------


def test_the_vector_of_adyens_libraries_is_authentic() -> None:
    body = json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": VECTOR}]}).encode()

    assert ADYEN.authentic(arrived(body))
    assert not source(webhook_secrets=[OTHER_KEY]).authentic(arrived(body))
    assert not ADYEN.authentic(arrived(body.replace(b"1130", b"1131")))


@pytest.mark.parametrize("file", PUBLISHED, ids=[f.stem for f in PUBLISHED])
def test_the_published_examples_are_authentic_and_understood(file: Path) -> None:
    body = file.read_bytes()
    asked = source(livemode=False)
    [message] = asked.messages(arrived(body))

    assert asked.authentic(arrived(body))
    assert (message.key, message.verdict) == (
        f"QFQTPCQ8HXSKGK82:{file.stem}:{'false' if file.stem == 'REFUND' else 'true'}",
        "used",
    )
    [fact] = asked.interpret(Event(1, "adyen", "k", message.type, message.body, LATER))
    assert isinstance(fact, RefundFact)
    assert (fact.kind, fact.status, fact.amount, fact.currency, fact.payment_ids) == {
        "CANCELLATION": ("void", "succeeded", 1000, "EUR", ("9913140798220028",)),
        "REFUND": ("refund", "failed", 1000, "EUR", ("9913140798220028",)),
        "REFUND_FAILED": ("refund", "failed", 1000, "EUR", ("9913140798220028",)),
    }[file.stem]


def test_any_of_the_keys_may_sign_while_they_rotate() -> None:
    body = notification(item("REFUND"), key=OTHER_KEY)

    assert source(webhook_secrets=[KEY, OTHER_KEY]).authentic(arrived(body))
    assert not ADYEN.authentic(arrived(body))


def test_a_delivery_is_refused_as_a_whole_where_any_item_is_not_signed() -> None:
    whole = json.loads(notification(item("REFUND"), item("REFUND", pspReference="REFUND0000000002")))
    assert ADYEN.authentic(arrived(json.dumps(whole).encode()))

    second = whole["notificationItems"][1]["NotificationRequestItem"]
    for spoilt in ({}, None, {"hmacSignature": None}, {"hmacSignature": "\ud800"}, {"hmacSignature": "A" * 44}):
        second["additionalData"] = spoilt
        assert not ADYEN.authentic(arrived(json.dumps(whole).encode()))
    broken: list[Any] = [None, 1, [], {}, {"NotificationRequestItem": []}]
    for no_item in broken:
        whole["notificationItems"][1] = no_item
        assert not ADYEN.authentic(arrived(json.dumps(whole).encode()))


NOTHING_SIGNED = [b"", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"live":"true","notificationItems":[]}']
NOTHING_SIGNED += [b'{"live":"true","notificationItems":{}}', b'{"notificationItems":[null]}']


@pytest.mark.parametrize("body", NOTHING_SIGNED, ids=range(len(NOTHING_SIGNED)))
def test_a_delivery_in_which_nothing_is_signed_proves_nothing(body: bytes) -> None:
    assert not ADYEN.authentic(arrived(body))
    assert not source(webhook_password="secret").authentic(arrived(body, authorization="Basic dTpzZWNyZXQ="))
    assert all(message.verdict == "malformed" for message in ADYEN.messages(arrived(body)))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": {"currency": "GBP", "value": 2501}},
        {"amount": {"currency": "EUR", "value": 2500}},
        {"amount": None},
        {"success": "false"},
        {"success": True},
        {"eventCode": "REFUND_FAILED"},
        {"originalReference": "PAYMENT000000002"},
        {"merchantReference": "1002"},
        {"merchantReference": ["1001"]},
        {"pspReference": None},
        {"amount": {"currency": "GBP", "value": 10**40}},
        {"amount": {"currency": "GBP", "value": True}},
        {"amount": {"currency": "GBP", "value": 2500.0}},
    ],
)
def test_what_is_signed_cannot_be_changed(changes: dict[str, Any]) -> None:
    whole = json.loads(notification(item("REFUND")))
    whole["notificationItems"][0]["NotificationRequestItem"] |= changes

    assert not ADYEN.authentic(arrived(json.dumps(whole).encode()))


def test_a_password_is_wanted_besides_the_signatures_where_there_is_one() -> None:
    guarded = source(webhook_password="secret")
    body = notification(item("REFUND"))

    assert guarded.authentic(arrived(body, authorization="Basic dTpzZWNyZXQ="))  # u:secret
    for header in ("", "Basic", "Basic dTpzZWNyZXI=", "Bearer secret", "Basic \xff", "Basic dTpzZWNyZXQ=="):
        assert not guarded.authentic(arrived(body, authorization=header))
    assert not guarded.authentic(arrived(body))


def test_a_key_that_is_not_hexadecimal_stops_the_start_and_is_not_shown() -> None:
    with pytest.raises(ValidationError, match="not hexadecimal") as failure:
        source(webhook_secrets=["not-a-key"])

    assert "not-a-key" not in str(failure.value)


# Messages ------------------------------------------------------------------------------------------------------------


def test_every_item_is_a_message_of_its_own() -> None:
    body = notification(item("REFUND"), item("REPORT_AVAILABLE"), item("CHARGEBACK", pspReference="DISPUTE"))

    messages = ADYEN.messages(arrived(body))
    assert [(m.key, m.verdict) for m in messages] == [
        ("REFUND0000000001:REFUND:true", "used"),
        ("REFUND0000000001:REPORT_AVAILABLE:true", "ignored"),
        ("DISPUTE:CHARGEBACK:true", "used"),
    ]
    assert [json.loads(m.body)["NotificationRequestItem"]["eventCode"] for m in messages] == [m.type for m in messages]


def test_the_same_outcome_told_later_has_the_same_identity_and_another_one_has_not() -> None:
    first, again, other = (
        ADYEN.messages(arrived(notification(item("REFUND", **changes))))[0].key
        for changes in ({}, {"eventDate": "2025-11-03T00:00:00Z", "reason": "x"}, {"success": "false"})
    )

    assert first == again != other


@pytest.mark.parametrize(("live", "used"), [("true", True), (True, True), ("false", False), (False, False)])
def test_what_is_of_the_other_environment_is_ignored(live: object, used: bool) -> None:
    for asked in (ADYEN, source(livemode=False)):
        [message] = asked.messages(arrived(notification(item("REFUND"), live=live)))
        assert message.verdict == ("used" if used is asked.settings.livemode else "ignored")


@pytest.mark.parametrize("live", [None, "yes", {}, [], 2])
def test_a_delivery_of_no_known_environment_is_set_aside_as_a_whole(live: object) -> None:
    body = notification(item("REFUND"), live=live)
    [message] = ADYEN.messages(arrived(body))

    assert (message.verdict, message.body) == ("malformed", body)
    with pytest.raises(NotUnderstood):
        ADYEN.interpret(Event(1, "adyen", "k", "", message.body, LATER))


@pytest.mark.parametrize(
    "changes", [{"success": "TRUE"}, {"success": None}, {"eventCode": "re fund"}, {"pspReference": "a:b"}]
)
def test_an_item_without_what_every_item_has_is_set_aside_alone(changes: dict[str, Any]) -> None:
    body = notification(item("REFUND", **changes), item("REFUND"))
    spoilt, whole = ADYEN.messages(arrived(body))

    assert ADYEN.authentic(arrived(body))
    assert (spoilt.verdict, whole.verdict) == ("malformed", "used")
    with pytest.raises(NotUnderstood):
        ADYEN.interpret(Event(1, "adyen", "k", "", spoilt.body, LATER))


# Facts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "changes", "facts"),
    [
        ("REFUND", {}, [refund("succeeded")]),
        ("REFUND", {"success": "false"}, [refund("failed")]),
        ("REFUND_WITH_DATA", {"originalReference": None}, [refund("succeeded", payment_ids=())]),
        ("REFUND_FAILED", {}, [refund("failed")]),
        ("REFUND_FAILED", {"success": "false"}, []),
        ("REFUNDED_REVERSED", {}, [refund("failed")]),
        ("CANCELLATION", {}, [refund("succeeded", kind="void")]),
        ("CANCELLATION", {"success": "false"}, []),
        ("TECHNICAL_CANCEL", {}, [refund("succeeded", kind="void")]),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "refund"}}, [refund("succeeded")]),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "cancel"}}, [refund("succeeded", kind="void")]),
        ("CANCEL_OR_REFUND", {"success": "false"}, [refund("failed")]),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "cancel"}, "success": "false"}, []),
        (
            "VOID_PENDING_REFUND",
            {"originalReference": "REFUND0000000001", "pspReference": "VOID"},
            [refund("canceled", payment_ids=(), order_refs=())],
        ),
        ("VOID_PENDING_REFUND", {"success": "false"}, []),
        ("AUTHORISATION", {"success": "false"}, []),
        ("CAPTURE", {"success": "false"}, []),
        ("CHARGEBACK", {"success": "false"}, []),
    ],
)
def test_what_is_a_refund_a_void_and_nothing(code: str, changes: dict[str, Any], facts: list[Fact]) -> None:
    assert told(code, **changes) == facts


@pytest.mark.parametrize(("capture", "captured"), [("automatic", 2500), ("manual", 0), ("partial", None)])
def test_what_an_authorisation_captured_is_as_the_account_does(capture: str, captured: int | None) -> None:
    [fact] = told("AUTHORISATION", source(capture=capture), originalReference=None, pspReference="PAYMENT000000001")

    assert fact == PaymentFact("adyen", ("PAYMENT000000001",), AT, "GBP", 2500, captured, order_refs=("1001",))


@pytest.mark.parametrize(("capture", "captured"), [("automatic", 2500), ("manual", 2500), ("partial", None)])
def test_a_capture_tells_the_total_unless_it_is_one_of_several(capture: str, captured: int | None) -> None:
    assert told("CAPTURE", source(capture=capture)) == [
        PaymentFact("adyen", ("PAYMENT000000001",), AT, "GBP", captured=captured)
    ]


def test_a_cancellation_releases_what_was_not_captured_where_capturing_is_a_step_of_its_own() -> None:
    released = PaymentFact("adyen", ("PAYMENT000000001",), AT, "GBP", voided=True)

    assert told("CANCELLATION", source(capture="manual")) == [released]
    assert told("CANCELLATION", source(capture="manual"), originalReference=None) == []
    assert told("CANCELLATION", source(capture="partial")) == []


def test_a_dispute_is_the_sum_of_its_movements() -> None:
    facts: list[Fact] = []
    nets = []
    for code in ("CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"):
        facts += told(code, pspReference="DISPUTE000000001")
        [returned] = fold_gateway(facts)[1]
        nets.append((returned.refund.id, returned.refund.status))

    assert isinstance(facts[0], DisputeFact)
    assert facts[0].payment_ids == ("PAYMENT000000001",)
    assert nets == [("DISPUTE000000001", s) for s in ("succeeded", "reversed", "succeeded")]


@pytest.mark.parametrize("late", ["REFUND_FAILED", "REFUNDED_REVERSED"])
def test_a_refund_that_fails_after_it_succeeded_has_failed_also_in_the_same_second_and_in_any_order(late: str) -> None:
    for facts in ([*told("REFUND"), *told(late)], [*told(late), *told("REFUND")]):
        [returned] = fold_gateway(facts)[1]
        assert returned.refund.status == "failed"


def test_references_of_the_order_stand_where_order_keys_say() -> None:
    additional = {"originalMerchantReference": "1001", "merchantOrderReference": " 77 ", "other": "x"}
    changes: dict[str, Any] = {"merchantReference": "refund-5", "additionalData": additional}

    [fact] = told("REFUND", **changes)
    assert isinstance(fact, RefundFact)
    assert fact.order_refs == ("refund-5", "1001", "77")
    [fact] = told("REFUND", source(order_keys=["originalMerchantReference"]), **changes)
    assert isinstance(fact, RefundFact)
    assert fact.order_refs == ("1001",)


@pytest.mark.parametrize(
    ("currency", "value", "minor"),
    [("ISK", 100_00, 100), ("CLP", 100_00, 100), ("IDR", 100, 100_00), ("CVE", 1, 100), ("JPY", 1, 1), ("KWD", 1, 1)],
)
def test_amounts_are_counted_as_adyen_counts_them(currency: str, value: int, minor: int) -> None:
    [fact] = told("REFUND", amount={"currency": currency, "value": value})

    assert isinstance(fact, RefundFact)
    assert fact.amount == minor


def test_another_reading_of_the_decimals_is_a_setting() -> None:
    [fact] = told("REFUND", source(currency_decimals={"EUR": 3}), amount={"currency": "ISK", "value": 100})

    assert isinstance(fact, RefundFact)
    assert fact.amount == 100


def test_a_date_that_is_not_signed_is_never_later_than_the_arrival() -> None:
    [fact] = told("REFUND", eventDate="2999-01-01T00:00:00Z")

    assert isinstance(fact, RefundFact)
    assert (fact.at, fact.as_of) == (LATER, LATER)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("CANCEL_OR_REFUND", {}),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "both"}}),
        ("CAPTURE", {"originalReference": None}),
        ("VOID_PENDING_REFUND", {"originalReference": ""}),
        ("REFUND", {"originalReference": "a:b"}),
        ("REFUND", {"amount": None}),
        ("REFUND", {"amount": {"currency": "GBP", "value": -1}}),
        ("REFUND", {"amount": {"currency": "GBP", "value": "2500"}}),
        ("REFUND", {"amount": {"currency": "pounds", "value": 2500}}),
        ("REFUND", {"amount": {"currency": "ISK", "value": 2550}}),
        ("REFUND", {"eventDate": None}),
        ("REFUND", {"eventDate": "yesterday"}),
    ],
)
def test_what_cannot_be_read_exactly_is_not_understood(code: str, changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told(code, **changes)


def test_nothing_else_is_interpreted() -> None:
    body = json.dumps({"NotificationRequestItem": item("REPORT_AVAILABLE")}).encode()
    with pytest.raises(NotUnderstood, match="not a type"):
        ADYEN.interpret(Event(1, "adyen", "k", "REPORT_AVAILABLE", body, LATER))


def test_the_reply_is_the_text_that_adyen_wants() -> None:
    assert ADYEN.accepted_reply == b"[accepted]"
