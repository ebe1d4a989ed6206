"""Mollie's webhooks, signed and classic: who sent them, which are used, what they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus, decode, encode
from ledger.instants import SECOND, from_rfc3339
from ledger.money import AMOUNT_MAX
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.mollie import HINTS_PER_HOUR, Mollie, MollieSettings
from tests.fakes.mollie import KEY, SECRET, chargeback, event, payment, refund, signed
from tests.sources.questions import open_questions

NOW = from_rfc3339("2026-11-27T12:00:00Z")
MADE = from_rfc3339("2026-11-20T12:00:00Z")
BODY = event("1", "refund.refunded", refund("re_1", "tr_1", "15.00"))
HINT = b"id=tr_5B8cwPMGnU6qLbRvo7qEZo"


def source(**settings: object) -> Mollie:
    return Mollie("mollie", MollieSettings.model_validate({"kind": "mollie", "webhook_secrets": [SECRET]} | settings))


MOLLIE = source()
ASKABLE = source(api_key=KEY)


def told(body: bytes, asked: Mollie = MOLLIE) -> list[Fact]:
    [message] = asked.messages(Delivery({}, body, NOW))
    assert message.verdict == "used"
    return asked.interpret(Event(1, "mollie", "k", message.type, body, NOW))


def verdict(body: bytes, asked: Mollie = MOLLIE) -> str:
    [message] = asked.messages(Delivery({}, body, NOW))
    return message.verdict


# Signatures ----------------------------------------------------------------------------------------------------------


def test_the_signature_is_hmac_sha256_of_the_raw_body() -> None:
    """A value made with openssl: `printf '{}' | openssl dgst -sha256 -hmac whsec_mollie_of_the_tests`."""
    mac = "65fc23300b05bf83c9d6e0ad9c974851a106b33fdc2d684f6ed3078018e88c1a"
    for header in (mac, f"sha256={mac}", f"sha256={'0' * 64}, sha256={mac}"):
        assert MOLLIE.authentic(Delivery({"x-mollie-signature": header}, b"{}", NOW))


def test_any_of_the_secrets_may_sign_while_they_rotate() -> None:
    assert source(webhook_secrets=["old", "new"]).authentic(Delivery(signed(BODY, "new"), BODY, NOW))
    assert source(webhook_secrets=["old"]).authentic(Delivery(signed(BODY, "new", "old"), BODY, NOW))
    assert not MOLLIE.authentic(Delivery(signed(BODY, "new"), BODY, NOW))


RIGHT = signed(BODY)["x-mollie-signature"]
WRONG = ["", "sha256=", RIGHT[:-1], RIGHT + "0", RIGHT.upper(), "\xff" * 64, "\u017f", "," * 10**5, "," * 20 + RIGHT]


@pytest.mark.parametrize("header", WRONG, ids=range(len(WRONG)))
def test_every_other_header_is_refused_and_none_raises(header: str) -> None:
    assert not MOLLIE.authentic(Delivery({"x-mollie-signature": header}, BODY, NOW))


def test_no_header_or_another_body_is_refused() -> None:
    assert not MOLLIE.authentic(Delivery({}, BODY, NOW))
    assert not MOLLIE.authentic(Delivery(signed(BODY), BODY + b" ", NOW))
    assert not source(webhook_secrets=[], api_key=KEY).authentic(Delivery(signed(BODY, ""), BODY, NOW))


# Classic webhooks ----------------------------------------------------------------------------------------------------


def test_a_classic_webhook_is_taken_only_where_mollie_can_be_asked() -> None:
    assert ASKABLE.authentic(Delivery({}, HINT, NOW))
    for asked in (MOLLIE, source(api_key=KEY, classic_webhooks=False), source(api_key=KEY, poll_interval="off")):
        assert not asked.authentic(Delivery({}, HINT, NOW))


NO_HINTS = [
    b"",
    b"id=",
    b"id=tr_",
    b"id=tr_1&x=1",
    b"id=tr_1\n",
    b"id=tr_../x",
    b"id=tr_" + b"1" * 65,
    BODY,
    b"ID=tr_1",
]


@pytest.mark.parametrize("body", NO_HINTS, ids=range(len(NO_HINTS)))
def test_nothing_else_comes_in_without_a_signature(body: bytes) -> None:
    assert not ASKABLE.authentic(Delivery({}, body, NOW))


def test_a_hint_with_a_wrong_signature_is_refused() -> None:
    assert not ASKABLE.authentic(Delivery(signed(HINT, "wrong"), HINT, NOW))


def test_a_hint_says_nothing_and_has_its_payment_asked_for() -> None:
    [message] = ASKABLE.messages(Delivery({}, HINT, NOW))
    hint = Event(1, "mollie", "k", message.type, message.body, NOW)

    assert (message.type, message.verdict) == ("classic", "used")
    assert ASKABLE.interpret(hint) == []
    assert open_questions(ASKABLE, hint) == ["payment:tr_5B8cwPMGnU6qLbRvo7qEZo"]


def test_hints_about_a_payment_count_once_in_ten_minutes() -> None:
    asked = source(api_key=KEY)
    keys = [asked.messages(Delivery({}, HINT, NOW + s * SECOND))[0].key for s in (0, 599, 600)]

    assert keys[0] == keys[1] != keys[2]


def test_only_so_many_hints_an_hour_are_kept() -> None:
    asked = source(api_key=KEY)
    verdicts = [verdict(b"id=tr_%d" % n, asked) for n in range(HINTS_PER_HOUR + 50)]

    assert verdicts == ["used"] * HINTS_PER_HOUR + ["ignored"] * 50
    [later] = asked.messages(Delivery({}, b"id=tr_x", NOW + 3600 * SECOND))
    assert later.verdict == "used"


@pytest.mark.parametrize("body", [b"id=ord_kEn1PlbGa", b"id=pl_4Y0eZitmBnQ6IDoMqZQKh", b"id=sub_rVKGtNd6s3"])
def test_a_hint_about_anything_but_a_payment_is_ignored(body: bytes) -> None:
    assert ASKABLE.authentic(Delivery({}, body, NOW))
    assert verdict(body, ASKABLE) == "ignored"


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_of_an_event_is_its_id_and_of_an_entity_its_content() -> None:
    assert MOLLIE.messages(Delivery({}, BODY, NOW)) == [Message("event_1", "refund.refunded", BODY)]
    bare = json.dumps(refund("re_1", "tr_1", "15.00", "failed")).encode()
    again = json.dumps(refund("re_1", "tr_1", "15.00", "failed"), indent=1).encode()
    other = json.dumps(refund("re_1", "tr_1", "15.00", "refunded")).encode()

    first, same, another = (MOLLIE.messages(Delivery({}, body, NOW))[0] for body in (bare, again, other))
    assert first.type == "refund.failed"
    assert first.key == same.key != another.key


def test_the_published_snapshot_is_understood() -> None:
    """The example of docs.mollie.com/reference/refunds-api-webhooks."""
    published: dict[str, Any] = {
        "resource": "refund", "id": "re_4qqhO89gsT", "mode": "live", "amount": {"currency": "EUR", "value": "5.95"},
        "description": "Order #12345", "metadata": None, "status": "canceled",
        "paymentId": "tr_5B8cwPMGnU6qLbRvo7qEZo", "createdAt": "2024-03-20T09:13:37+00:00",
    }  # fmt: skip

    made = from_rfc3339("2024-03-20T09:13:37Z")
    assert told(json.dumps(published).encode()) == [
        RefundFact("mollie", "re_4qqhO89gsT", "refund", "canceled", 595, "EUR", made, made, (published["paymentId"],))
    ]


@pytest.mark.parametrize("event_type", ["payment.failed", "payout.completed", "sales-invoice.paid", "hook.ping"])
def test_other_events_are_ignored(event_type: str) -> None:
    assert verdict(event("1", event_type, payment("tr_1"))) == "ignored"


def test_what_is_of_the_other_mode_is_ignored() -> None:
    test = event("1", "refund.refunded", refund("re_1", "tr_1", "1.00", mode="test"))

    assert verdict(test) == "ignored"
    assert verdict(test, source(livemode=False)) == "used"
    assert verdict(BODY, source(livemode=False)) == "ignored"
    assert verdict(event("1", "chargeback.received", chargeback("chb_1", "tr_1", "1.00"))) == "used"


MALFORMED = [
    b"",
    b"null",
    b"[]",
    b"\xff",
    b"{" * 100_000,
    b'{"resource":"refund"}',
    b'{"resource":"event","id":"event_1"}',
]
MALFORMED += [event("1", "refund.unheard_of", refund("re_1", "tr_1", "1.00")), event("x" * 300, "refund.failed", None)]
MALFORMED += [json.dumps(refund("re_1", "tr_1", "1.00", "unheard_of")).encode(), b'{"resource":"refund","id":"re_1"}']


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_not_understood_is_set_aside(body: bytes) -> None:
    [message] = MOLLIE.messages(Delivery({}, body, NOW))

    assert message.verdict == "malformed"
    assert message.key
    with pytest.raises(NotUnderstood):
        MOLLIE.interpret(Event(1, "mollie", "k", message.type, body, NOW))


# What they say -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("queued", "pending"),
        ("pending", "pending"),
        ("processing", "pending"),
        ("refunded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "canceled"),
    ],
)
def test_a_refund_has_its_status_payment_and_order(status: str, read: RefundStatus) -> None:
    made = refund("re_1", "tr_1", "15.00", status, metadata={"order_id": 1001, "other": "x"})

    fact = RefundFact("mollie", "re_1", "refund", read, 1500, "GBP", MADE, MADE, ("tr_1",), ("1001",))
    assert told(event("1", f"refund.{status}", made)) == [fact]
    assert told(json.dumps(made).encode()) == [fact]
    assert MOLLIE.interpret(Event(1, "m", "k", "api.refund", json.dumps(made).encode(), NOW)) == [fact]


@given(st.permutations(["queued", "processing", "refunded", "failed"]))
def test_whatever_came_last_the_last_state_counts(order: list[str]) -> None:
    facts = [
        f for status in order for f in told(event("1", f"refund.{status}", refund("re_1", "tr_1", "1.00", status)))
    ]

    [returned] = fold_gateway(facts)[1]
    assert returned.refund.status == "failed"


@pytest.mark.parametrize(
    ("status", "more", "captured", "released"),
    [
        ("paid", {}, 2550, False),
        ("authorized", {}, 0, False),
        ("authorized", {"amountCaptured": {"currency": "GBP", "value": "5.00"}}, 500, False),
        ("canceled", {}, 0, True),
        ("expired", {}, 0, True),
    ],
)
def test_a_payment_tells_what_was_captured(status: str, more: dict[str, Any], captured: int, released: bool) -> None:
    [fact] = told(event("1", f"payment.{status}", payment("tr_1", "25.50", status, **more)))

    assert isinstance(fact, PaymentFact)
    assert (fact.captured, fact.voided, fact.ids) == (captured, released, ("tr_1",))


def test_the_order_is_named_in_the_metadata_or_in_the_description() -> None:
    told_of = payment("tr_1", description="1001", metadata={"number": "A-7"})
    for keys, refs in ((["number"], ("A-7",)), (["description"], ("1001",)), (["order_id"], ())):
        [fact] = told(event("1", "payment.paid", told_of), source(order_keys=keys))
        assert isinstance(fact, PaymentFact)
        assert fact.order_refs == refs


def test_a_chargeback_takes_money_and_its_reversal_gives_it_back() -> None:
    received = chargeback("chb_1", "tr_1", "43.38")
    reversed_ = received | {"reversedAt": "2026-11-25T13:00:00+00:00"}

    at, back = from_rfc3339("2026-11-20T13:00:00Z"), from_rfc3339("2026-11-25T13:00:00Z")
    taken = DisputeFact("mollie", "chb_1", "", "withdrawn", 43_38, "GBP", at, ("tr_1",))
    assert told(event("1", "chargeback.received", received)) == [taken]
    given_back = DisputeFact("mollie", "chb_1", "", "reinstated", 43_38, "GBP", back, ("tr_1",))
    assert told(event("2", "chargeback.reversed", reversed_)) == [taken, given_back]
    assert told(json.dumps(reversed_).encode()) == [taken, given_back]


def test_a_clock_that_runs_ahead_moves_no_money_before_it_is_heard_of() -> None:
    ahead = "2027-01-01T12:00:00Z"
    made = refund("re_1", "tr_1", "1.00", createdAt=ahead)
    moved = chargeback("chb_1", "tr_1", "1.00", createdAt=ahead, reversedAt=ahead)

    webhooks = [*told(event("1", "refund.refunded", made)), *told(event("2", "chargeback.reversed", moved))]
    polled = [
        *MOLLIE.interpret(Event(1, "m", "k", "api.refund", json.dumps(made).encode(), NOW)),
        *MOLLIE.interpret(Event(1, "m", "k", "api.chargeback", json.dumps(moved).encode(), NOW)),
    ]

    assert webhooks == polled
    assert [f.at for f in polled if isinstance(f, RefundFact | DisputeFact)] == [NOW, NOW, NOW]


@given(st.permutations(["queued", "processing", "refunded", "failed"]))
def test_whatever_came_last_the_last_state_counts_also_of_a_clock_that_runs_ahead(order: list[str]) -> None:
    facts: list[Fact] = []
    for n, status in enumerate(order):
        made = refund("re_1", "tr_1", "1.00", status, createdAt="2027-01-01T12:00:00Z")
        facts += MOLLIE.interpret(Event(1, "m", "k", "api.refund", json.dumps(made).encode(), NOW + n * SECOND))

    [returned] = fold_gateway(facts)[1]
    assert (returned.refund.status, returned.refund.at) == ("failed", NOW)


def test_an_event_without_its_entity_is_asked_about_where_that_is_possible() -> None:
    body = event("1", "refund.failed", None, "re_1")
    simple = Event(1, "mollie", "k", "refund.failed", body, NOW)

    assert ASKABLE.interpret(simple) == []
    assert open_questions(ASKABLE, simple) == ["refund:re_1"]
    with pytest.raises(NotUnderstood, match="full payload"):
        MOLLIE.interpret(simple)
    assert (
        open_questions(ASKABLE, Event(1, "m", "k", "refund.failed", event("1", "refund.failed", None, "re_../x"), NOW))
        == []
    )


def test_a_refund_is_asked_about_until_it_cannot_change_and_its_payment_once() -> None:
    def questions(body: bytes, kind: str) -> list[str]:
        return open_questions(ASKABLE, Event(1, "mollie", "k", kind, body, NOW))

    assert questions(BODY, "refund.refunded") == ["refund:re_1", "payment:tr_1"]
    failed = event("1", "refund.failed", refund("re_1", "tr_1", "1.00", "failed"))
    assert questions(failed, "refund.failed") == ["payment:tr_1"]
    taken = event("1", "chargeback.received", chargeback("chb_1", "tr_1", "1.00"))
    assert questions(taken, "chargeback.received") == ["payment:tr_1"]
    assert questions(event("1", "payment.paid", payment("tr_1")), "payment.paid") == []


@pytest.mark.parametrize(
    ("value", "currency", "read"), [("1500", "JPY", 1500), ("1.234", "KWD", 1234), ("100.00", "ISK", 100)]
)
def test_amounts_are_decimals_of_the_currency(value: str, currency: str, read: int) -> None:
    made = refund("re_1", "tr_1", "1.00", amount={"currency": currency, "value": value})
    [fact] = told(event("1", "refund.refunded", made))

    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (read, currency)


# Hostile -------------------------------------------------------------------------------------------------------------

ODD: list[Any] = [10**400, "9" * 5000, "-5.00", "1e9", 1.5, True, "\ud800", "a\0", [], {}, {"currency": "GBP"}, "re_1"]
JUNK: Any = st.none() | st.text(max_size=20) | st.sampled_from(ODD)
ENTITIES = [
    ("refund.refunded", refund("re_1", "tr_1", "9.00", metadata={"order_id": "1"})),
    ("chargeback.reversed", chargeback("chb_1", "tr_1", "9.00", reversedAt="2026-11-25T13:00:00+00:00")),
    ("payment.paid", payment("tr_1", "9.00")),
]


@given(st.sampled_from(ENTITIES), st.data(), st.booleans())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(
    what: tuple[str, dict[str, Any]], data: st.DataObject, in_event: bool
) -> None:
    kind, entity = what[0], dict(what[1])
    for _ in range(data.draw(st.integers(1, 3))):
        entity[data.draw(st.sampled_from(sorted(entity)))] = data.draw(JUNK)
    body = event("1", kind, entity) if in_event else json.dumps(entity).encode()
    [message] = MOLLIE.messages(Delivery(signed(body), body, NOW))
    assert message.key
    assert message.key.isascii()
    told = Event(1, "m", message.key, message.type, body, NOW)
    try:
        facts = MOLLIE.interpret(told)
    except NotUnderstood:
        return
    assert all(question.isascii() for question in open_questions(MOLLIE, told))
    for fact in facts:
        assert decode(encode(fact)) == fact
        assert isinstance(fact, PaymentFact) or 0 <= fact.amount <= AMOUNT_MAX  # type: ignore[union-attr]


@given(st.binary(max_size=200), st.text(st.characters(max_codepoint=255)))
def test_any_bytes_and_headers_are_met_without_raising(body: bytes, header: str) -> None:
    assert not ASKABLE.authentic(Delivery({"x-mollie-signature": header}, body, NOW))
    assert ASKABLE.messages(Delivery({}, body, NOW))


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"webhook_secrets": []}, {"webhook_secrets": [""]}, {"api_key": "access_1"}, {"api_key": "test_1"}, {"unknown": 1},
     {"api_key": KEY, "livemode": False}, {"api_base": "https://api.mollie.com/v2"}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source(**wrong)


def test_secrets_are_read_from_a_file_of_lines(tmp_path: Path) -> None:
    assert source(webhook_secrets="new\nold\n").settings.webhook_secrets[1].get_secret_value() == "old"
