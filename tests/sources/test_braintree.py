"""Braintree's webhooks: who sent them, which are used, what they say."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus, decode, encode
from ledger.instants import from_rfc3339
from ledger.money import AMOUNT_MAX
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, NotUnderstood
from sources.braintree import Braintree, BraintreeSettings
from tests.fakes.braintree import PRIVATE, PUBLIC, dispute, form, mac, notification, refund, transaction, xml
from tests.sources.questions import open_questions

MADE = from_rfc3339("2026-11-20T12:00:00Z")
SENT = from_rfc3339("2026-11-20T12:00:05Z")
NOW = from_rfc3339("2026-11-27T12:00:00Z")
BODY = form(notification("refund_failed", refund("r1", "p1", "15.00", "processor_declined")))


def source(**settings: object) -> Braintree:
    own = {"kind": "braintree", "public_key": PUBLIC, "private_key": PRIVATE}
    return Braintree("braintree", BraintreeSettings.model_validate(own | settings))


BRAINTREE = source()


def told(kind: str, thing: dict[str, Any], asked: Braintree = BRAINTREE) -> list[Fact]:
    return asked.interpret(Event(1, "braintree", "k", kind, form(notification(kind, thing)), NOW))


def polled(kind: str, thing: dict[str, Any], asked: Braintree = BRAINTREE) -> list[Fact]:
    return asked.interpret(Event(1, "braintree", "k", f"api.{kind}", json.dumps(thing).encode(), NOW))


def authentic(body: bytes, asked: Braintree = BRAINTREE) -> bool:
    return asked.authentic(Delivery({}, body, NOW))


# Signatures ----------------------------------------------------------------------------------------------------------


def test_a_form_that_one_of_our_keys_signed_is_authentic() -> None:
    assert authentic(BODY)
    assert not authentic(BODY, source(private_key="another"))
    assert not authentic(BODY, source(public_key="another_key"))
    assert not authentic(form(b"<notification/>", private="another"))


def test_the_signature_may_be_of_the_payload_with_a_line_end_behind_it() -> None:
    fields = {"bt_payload": "PGEvPg==", "bt_signature": f"{PUBLIC}|{mac('PGEvPg==' + chr(10))}"}

    assert authentic(urlencode(fields).encode())


def test_the_answer_to_the_check_of_the_address_is_the_published_one() -> None:
    """From the tests of braintree_python."""
    answer = BRAINTREE.answer_to_check(b"bt_challenge=20f9f8ed05f77439fe955c977e4c8a53")

    assert answer == b"integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"bt_challenge",
        b"bt_challenge=",
        b"bt_challenge=ABCDEF1234567890abcd",
        b"bt_challenge=" + b"a" * 33,
        b"bt_challenge=" + b"a" * 20 + b"%0A",
        b"bt_challenge=\xff",
        b"&" * 60_000,
        b"other=" + b"a" * 20,
    ],
)
def test_no_other_query_is_answered(query: bytes) -> None:
    assert BRAINTREE.answer_to_check(query) is None


@pytest.mark.parametrize("ending", ["", "%0A"])
def test_what_anybody_can_have_signed_is_no_delivery(ending: str) -> None:
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    answer = BRAINTREE.answer_to_check(f"bt_challenge={challenge}".encode())
    assert answer

    assert not authentic(f"bt_payload={challenge}{ending}&bt_signature={quote(answer.decode())}".encode())


FIELDS = {name: values[0] for name, values in parse_qs(BODY.decode()).items()}
SIGNATURE = FIELDS["bt_signature"]
FORGED = [
    b"",
    b"\xff",
    b"bt_payload=x",
    b"bt_signature=" + SIGNATURE.encode(),
    b"a=1&" * 1000 + BODY,
    urlencode(FIELDS | {"bt_payload": FIELDS["bt_payload"] + "A"}).encode(),
    *(
        urlencode(FIELDS | {"bt_signature": signature}).encode()
        for signature in ("", "|", PUBLIC, f"{PUBLIC}|", f"{PUBLIC}|\ud7ff", SIGNATURE.upper(), "&" * 100 + SIGNATURE)
    ),
]


@pytest.mark.parametrize("body", FORGED, ids=range(len(FORGED)))
def test_every_other_form_is_refused_and_none_raises(body: bytes) -> None:
    assert not authentic(body)


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_of_a_notification_is_the_hash_of_what_it_says() -> None:
    [message] = BRAINTREE.messages(Delivery({}, BODY, NOW))
    [again] = BRAINTREE.messages(Delivery({}, BODY.replace(b"an_older_key", b"a_newer_key"), NOW))
    [other] = BRAINTREE.messages(Delivery({}, form(notification("refund_failed", refund("r2", "p1", "1.00"))), NOW))

    assert (message.type, message.verdict, message.body) == ("refund_failed", "used", BODY)
    assert message.key == again.key != other.key
    assert str(message.key).startswith("sha256:")


@pytest.mark.parametrize("kind", ["check", "disbursement", "local_payment_reversed", "dispute_under_review"])
def test_other_kinds_are_ignored(kind: str) -> None:
    assert [m.verdict for m in BRAINTREE.messages(Delivery({}, form(notification(kind, {})), NOW))] == ["ignored"]


MALFORMED = [b"", b"bt_payload=", b"bt_payload=%C3%A9", b"bt_payload=AAA", b"bt_payload=AAAA", b"\xff"]
MALFORMED += [form(b'<!DOCTYPE a [<!ENTITY b "refund_failed">]><notification><kind>&b;</kind></notification>')]
MALFORMED += [form(content) for content in (b"<a>" * 1000, b"<notification/>", b"<other><kind>check</kind></other>")]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_notification_is_set_aside_by_its_hash(body: bytes) -> None:
    [message] = BRAINTREE.messages(Delivery({}, body, NOW))

    assert message.verdict == "malformed"
    assert str(message.key).startswith("sha256:")
    with pytest.raises(NotUnderstood):
        BRAINTREE.interpret(Event(1, "braintree", "k", "", body, NOW))


# What they say -------------------------------------------------------------------------------------------------------


def test_a_failed_refund_as_braintree_sends_it() -> None:
    """The sample of braintree_python: with less than a search tells, and no currency."""
    sample = {"id": "8xk2v9qz", "amount": "100", "status": "processor_declined", "refunded_transaction_fk": "1"}

    facts = told("refund_failed", sample, source(currency="USD"))

    assert facts == [RefundFact("braintree", "8xk2v9qz", "refund", "failed", 100_00, "USD", SENT, SENT)]
    with pytest.raises(NotUnderstood, match="set currency"):
        told("refund_failed", sample)


def test_without_a_currency_its_transaction_is_asked_for() -> None:
    askable = source(merchant_id="m")
    body = form(notification("refund_failed", {"id": "r1", "amount": "100"}))
    event = Event(1, "braintree", "k", "refund_failed", body, NOW)

    assert askable.interpret(event) == []
    assert open_questions(askable, event) == ["refund:r1"]


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("submitted_for_settlement", "pending"),
        ("settling", "pending"),
        ("settled", "succeeded"),
        ("settlement_declined", "failed"),
        ("processor_declined", "failed"),
        ("voided", "canceled"),
    ],
)
def test_a_refund_has_its_status_its_payment_and_its_order(status: str, read: RefundStatus) -> None:
    fact = RefundFact("braintree", "r1", "refund", read, 1500, "GBP", MADE, MADE, ("p1",), ("1001",))

    assert polled("transaction", refund("r1", "p1", "15.00", status, order_id="1001")) == [fact]
    assert told("transaction_settled", refund("r1", "p1", "15.00", status, order_id="1001")) == [fact]


def test_a_refund_that_failed_after_it_settled_has_failed_whatever_came_last() -> None:
    settled = polled("transaction", refund("r1", "p1", "15.00"))
    late = refund("r1", "p1", "15.00", "settlement_declined", updated_at="2026-11-25T12:00:00Z")
    failed = told("transaction_settlement_declined", late)

    for facts in (settled + failed, failed + settled):
        [returned] = fold_gateway(facts)[1]
        assert returned.refund.status == "failed"


def test_a_credit_without_a_payment_is_a_refund_of_none() -> None:
    [fact] = polled("transaction", refund("r1", None, "15.00"))

    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ()


@pytest.mark.parametrize(
    ("status", "captured"), [("authorized", 0), ("submitted_for_settlement", 2550), ("settled", 2550), ("failed", 0)]
)
def test_a_sale_tells_what_was_captured(status: str, captured: int) -> None:
    fact, *_ = polled("transaction", transaction("p1", "sale", "25.50", status, order_id="1001"))

    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.captured, fact.currency, fact.order_refs) == (("p1",), captured, "GBP", ("1001",))


def test_a_void_of_a_captured_sale_returns_all_of_it_at_its_own_time() -> None:
    facts = polled(
        "transaction", transaction("p1", "sale", "25.50", "voided", "authorized", "submitted_for_settlement")
    )

    [returned] = fold_gateway(facts)[1]
    refund = returned.refund
    voided = from_rfc3339("2026-11-20T12:02:00Z")
    assert (refund.id, refund.kind, refund.status, refund.amount, refund.at) == (
        "p1",
        "void",
        "succeeded",
        2550,
        voided,
    )


def test_a_void_of_an_authorisation_returns_nothing() -> None:
    [payment], returned = fold_gateway(polled("transaction", transaction("p1", "sale", "9.00", "voided", "authorized")))

    assert (payment.captured, payment.released, returned) == (0, True, [])


def test_a_dispute_takes_its_money_when_it_opens_and_what_is_won_comes_back() -> None:
    opened = told("dispute_opened", dispute("d1", "p1", "100.00"))
    won = told("dispute_won", dispute("d1", "p1", "100.00", "won", amount_won="95.00"))

    at = from_rfc3339("2026-11-20T13:00:00Z")
    taken = DisputeFact("braintree", "d1", "", "withdrawn", 100_00, "GBP", at, ("p1",))
    back = DisputeFact("braintree", "d1", "", "reinstated", 95_00, "GBP", from_rfc3339("2026-11-24T13:00:00Z"), ("p1",))
    assert (opened, won) == ([taken], [taken, back])


def test_an_older_dispute_tells_days_and_one_amount() -> None:
    sample = {"amount": "250.00", "currency_iso_code": "USD", "kind": "chargeback", "status": "won", "id": "d1",
              "transaction": {"id": "p1", "amount": "250.00"}, "date_opened": "2014-03-28",
              "date_won": "2014-09-01"}  # fmt: skip

    facts = told("dispute_won", sample)

    assert [(f.direction, f.amount, f.at) for f in facts if isinstance(f, DisputeFact)] == [
        ("withdrawn", 250_00, from_rfc3339("2014-03-28")),
        ("reinstated", 250_00, from_rfc3339("2014-09-01")),
    ]


def test_a_clock_that_runs_ahead_tells_no_time_later_than_the_arrival() -> None:
    ahead = "2027-01-01T12:00:00Z"
    steps = [{"status": status, "timestamp": ahead} for status in ("settled", "voided", "lost", "won")]
    times: dict[str, Any] = {"created_at": ahead, "updated_at": ahead, "status_history": steps}
    things = [
        ("transaction_settled", refund("r1", "p1", "1.00", **times)),
        ("transaction_settled", transaction("p1", "sale", "1.00", "voided", **times)),
        ("dispute_won", dispute("d1", "p1", "1.00", "won", amount_won="1.00", date_won=ahead, **times)),
        ("dispute_opened", {"id": "d2", "kind": "chargeback", "status": "open", "amount": "1.00",
                            "currency_iso_code": "GBP", "transaction": {"id": "p1"}}),
    ]  # fmt: skip

    for kind, thing in things:
        body = form(notification(kind, thing, at=ahead))
        facts = [
            *BRAINTREE.interpret(Event(1, "braintree", "k", kind, body, NOW)),
            *polled(kind.partition("_")[0], thing),
        ]
        assert {f.at for f in facts if isinstance(f, RefundFact | DisputeFact)} == {NOW}
        assert {f.as_of for f in facts if isinstance(f, RefundFact | PaymentFact)} <= {NOW}
    lost = dispute("d1", "p1", "1.00", "lost", **times)
    [taken] = polled("dispute", lost, source(disputes_withdraw="lost"))
    assert isinstance(taken, DisputeFact)
    assert taken.at == NOW


def test_a_retrieval_takes_nothing() -> None:
    assert told("dispute_opened", dispute("d1", "p1", "100.00", kind="retrieval")) == []


@pytest.mark.parametrize(("status", "count"), [("open", 0), ("lost", 1), ("expired", 1), ("won", 0)])
def test_by_setting_a_dispute_takes_its_money_only_when_it_is_lost(status: str, count: int) -> None:
    asked = source(disputes_withdraw="lost")

    assert len(told("dispute_opened", dispute("d1", "p1", "1.00", status), asked)) == count


def test_amounts_are_decimals_of_the_currency() -> None:
    yen = refund("r1", "p1", "1500", currency_iso_code="JPY")
    dinar = refund("r1", "p1", "1.234", currency_iso_code="KWD")

    assert [f.amount for thing in (yen, dinar) for f in polled("transaction", thing) if isinstance(f, RefundFact)] == [
        1500,
        1234,
    ]
    for amount in ("1.234", "-1.00", "", "1e3", "9" * 5000, "NaN"):
        with pytest.raises(NotUnderstood):
            polled("transaction", refund("r1", "p1", amount))


def test_a_refund_leads_to_its_payment_and_is_asked_about_until_it_ends() -> None:
    def questions(kind: str, thing: dict[str, Any]) -> list[str]:
        return open_questions(BRAINTREE, Event(1, "b", "k", f"api.{kind}", json.dumps(thing).encode(), NOW))

    assert questions("transaction", refund("r1", "p1", "1.00", "settling")) == ["refund:r1", "payment:p1"]
    assert questions("transaction", refund("r1", "p1", "1.00")) == ["payment:p1"]
    by_bank = refund("r1", "p1", "1.00", payment_instrument_type="us_bank_account")
    assert questions("transaction", by_bank) == ["refund:r1", "payment:p1"]
    assert questions("transaction", transaction("p1", "sale", "1.00", "settled")) == []
    assert questions("dispute", dispute("d1", "p1", "1.00")) == ["payment:p1"]
    event = Event(1, "b", "k", "dispute_opened", form(notification("dispute_opened", dispute("d1", "../x", "1"))), NOW)
    assert open_questions(BRAINTREE, event) == []


# Hostile -------------------------------------------------------------------------------------------------------------

ODD = [
    "9" * 400,
    "-5.00",
    "1e9",
    "0",
    "sale",
    "credit",
    "won",
    [],
    ["x"],
    {},
    {"id": {"id": "x"}},
    "2026-13-45",
    "\u0661",
]
JUNK: Any = st.none() | st.text(st.characters(blacklist_categories=["C"]), max_size=20) | st.sampled_from(ODD)
THINGS = [
    ("transaction_settled", transaction("p1", "sale", "9.00", "voided", "settled")),
    ("refund_failed", refund("r1", "p1", "9.00")),
    ("dispute_won", dispute("d1", "p1", "9.00", "won")),
]


@given(st.sampled_from(THINGS), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(
    what: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    kind, thing = what[0], dict(what[1])
    for _ in range(data.draw(st.integers(1, 3))):
        thing[data.draw(st.sampled_from(sorted(thing)))] = data.draw(JUNK)
    body = form(notification(kind, thing))
    assert authentic(body)
    state = "api.dispute" if kind == "dispute_won" else "api.transaction"
    for event in (Event(1, "b", "k", kind, body, NOW), Event(1, "b", "k", state, json.dumps(thing).encode(), NOW)):
        try:
            facts = BRAINTREE.interpret(event)
        except NotUnderstood:
            continue
        assert all(question.partition(":")[2].isascii() for question in open_questions(BRAINTREE, event))
        for fact in facts:
            assert decode(encode(fact)) == fact
            assert isinstance(fact, PaymentFact) or 0 <= fact.amount <= AMOUNT_MAX  # type: ignore[union-attr]


@given(st.binary(max_size=200))
def test_any_content_under_our_signature_is_met_without_raising(content: bytes) -> None:
    body = form(content)

    assert authentic(body) or not content
    [message] = BRAINTREE.messages(Delivery({}, body, NOW))
    assert message.verdict in ("malformed", "ignored")


def test_a_payload_that_is_not_what_base64_makes_is_set_aside() -> None:
    payload = base64.b64encode(xml("notification", {"kind": "check"})).decode()[:-3]

    assert BRAINTREE.messages(Delivery({}, urlencode({"bt_payload": payload}).encode(), NOW))[0].verdict == "malformed"


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"private_key": ""}, {"public_key": "a|b"}, {"merchant_id": "a/b"}, {"currency": "usd"}, {"unknown": 1},
     {"api_base": "https://api.braintreegateway.com/merchants"}, {"api_base": "http://api.example.com"}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source(**wrong)
