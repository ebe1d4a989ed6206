"""PayPal's webhooks: who sent them, which are used, what they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, RefundStatus, decode, encode
from ledger.instants import SECOND, from_rfc3339
from ledger.payments import fold_gateway
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.paypal import TRANSACTION, PayPal, PayPalSettings
from tests.fakes.paypal import WEBHOOK_ID, capture, event, refund
from tests.sources.questions import open_questions

AT = from_rfc3339("2026-11-20T12:00:00Z")
REFUND, CAPTURE = "1JU08902781691411", "0JF852973C016714D"


def source(**settings: object) -> PayPal:
    return PayPal("paypal", PayPalSettings.model_validate({"kind": "paypal", "webhook_ids": [WEBHOOK_ID], **settings}))


PAYPAL = source()
KEYED = source(client_id="id", client_secret="secret")


def arrived(event_type: str, resource: object, **more: object) -> Event:
    body = json.dumps({"id": "WH-1", "event_type": event_type, "create_time": "2026-11-20T13:00:00Z"} | more)
    return Event(1, "paypal", "WH-1", event_type, (body[:-1] + f', "resource": {json.dumps(resource)}}}').encode(), AT)


def told(event_type: str, resource: object, asked: PayPal = PAYPAL) -> list[Fact]:
    return asked.interpret(arrived(event_type, resource))


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_of_a_delivery_is_its_event_id() -> None:
    body = event("1", "PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "15.00"))

    assert PAYPAL.messages(Delivery({}, body, AT)) == [Message("WH-1", "PAYMENT.CAPTURE.REFUNDED", body, "used")]


@pytest.mark.parametrize("event_type", ["CHECKOUT.ORDER.APPROVED", "CUSTOMER.DISPUTE.CREATED", "payment.sale.denied"])
def test_other_events_are_ignored(event_type: str) -> None:
    assert [m.verdict for m in PAYPAL.messages(Delivery({}, event("1", event_type, {}), AT))] == ["ignored"]


MALFORMED = [b"", b"null", b"\xff", b"[" * 100_000, b'{"id":"1"}', b'{"event_type":"x"}', b'{"id":"\\u0000"}']
MALFORMED += [b'[{"id":"1","event_type":"PAYMENT.CAPTURE.REFUNDED"}]', b'{"id":1.5,"event_type":"x"}', b'{"id":NaN}']


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_has_no_identity_is_set_aside_by_its_hash(body: bytes) -> None:
    [message] = PAYPAL.messages(Delivery({}, body, AT))

    assert message.verdict == "malformed"
    assert str(message.key).startswith("sha256:")
    with pytest.raises(NotUnderstood):
        PAYPAL.interpret(Event(1, "paypal", "k", "", body, AT))


# What they say -------------------------------------------------------------------------------------------------------


def test_a_refund_is_its_own_amount_and_never_the_running_total() -> None:
    facts = told("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00", "5.00", invoice_id=" 1001 ", custom_id=""))

    expected = RefundFact("paypal", REFUND, "refund", "succeeded", 300, "GBP", AT, AT, (CAPTURE,), ("1001",))
    assert facts == [expected]


def test_a_refund_as_the_specification_has_it() -> None:
    body = (Path(__file__).parent / "paypal_payloads" / "PAYMENT.CAPTURE.REFUNDED.json").read_bytes()
    [message] = PAYPAL.messages(Delivery({}, body, AT))

    made = from_rfc3339("2026-11-10T18:53:41Z")
    ids = ("0JF852973C016714D",), ("104233",)
    expected = RefundFact("paypal", "1Y107995YT783435V", "refund", "succeeded", 2550, "USD", made, made, *ids)
    assert message.key == "WH-1GE84257G0350133W-6RW800890C634293G"
    assert PAYPAL.interpret(Event(1, "paypal", message.key, message.type, body, AT)) == [expected]


def test_a_refund_without_an_amount_of_its_own_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        told("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00", "5.00", amount=None))


@pytest.mark.parametrize(
    ("event_type", "status", "read"),
    [
        ("PAYMENT.CAPTURE.REFUNDED", "COMPLETED", "succeeded"),
        ("PAYMENT.CAPTURE.REFUNDED", "PENDING", "pending"),
        ("PAYMENT.REFUND.PENDING", "PENDING", "pending"),
        ("PAYMENT.REFUND.FAILED", "FAILED", "failed"),
        ("PAYMENT.CAPTURE.REFUNDED", "CANCELLED", "canceled"),
    ],
)
def test_the_status_of_a_refund_is_the_refunds_and_not_the_events(
    event_type: str, status: str, read: RefundStatus
) -> None:
    [fact] = told(event_type, refund(REFUND, CAPTURE, "3.00", status=status))
    assert isinstance(fact, RefundFact)
    assert fact.status == read


@pytest.mark.parametrize(
    ("currency", "value", "minor"),
    [("JPY", "500", 500), ("TND", "1.234", 1234), ("HUF", "500", 50000), ("USD", 3, 300)],
)
def test_amounts_are_exact_decimals_of_the_currency(currency: str, value: object, minor: int) -> None:
    amount = {"currency_code": currency, "value": value}
    [fact] = told("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00", amount=amount))
    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (minor, currency)


def test_a_refund_of_the_first_version_names_its_sale() -> None:
    old = {
        "id": REFUND,
        "state": "completed",
        "amount": {"total": "-0.01", "currency": "USD"},
        "total_refunded_amount": {"value": "5.00", "currency": "USD"},
        "sale_id": CAPTURE,
        "invoice_number": "1001",
        "create_time": "2026-11-20T12:00:00Z",
        "update_time": "2026-11-20T12:00:00Z",
    }
    expected = RefundFact("paypal", REFUND, "refund", "succeeded", 1, "USD", AT, AT, (CAPTURE,), ("1001",))
    assert told("PAYMENT.SALE.REFUNDED", old) == [expected]


@pytest.mark.parametrize(
    ("event_type", "status", "captured"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", "COMPLETED", 2550),
        ("PAYMENT.CAPTURE.COMPLETED", "PARTIALLY_REFUNDED", 2550),
        ("PAYMENT.CAPTURE.DENIED", "DECLINED", 0),
        ("PAYMENT.CAPTURE.DECLINED", "FAILED", 0),
        ("PAYMENT.CAPTURE.COMPLETED", "PENDING", None),
    ],
)
def test_a_payment_tells_what_was_captured(event_type: str, status: str, captured: int | None) -> None:
    [fact] = told(event_type, capture(CAPTURE, "25.50", status=status, custom_id="1001"))
    assert isinstance(fact, PaymentFact)
    assert (fact.ids, fact.captured, fact.order_refs) == ((CAPTURE,), captured, ("1001",))


def test_a_voided_authorisation_moved_no_money() -> None:
    [fact] = told("PAYMENT.AUTHORIZATION.VOIDED", capture(CAPTURE, "25.50", status="VOIDED"))
    assert isinstance(fact, PaymentFact)
    assert (fact.voided, fact.authorised, fact.captured) == (True, 2550, None)


RESOLVED = {
    "dispute_id": "PP-D-27803",
    "disputed_transactions": [{"seller_transaction_id": CAPTURE}],
    "dispute_amount": {"currency_code": "GBP", "value": "25.50"},
    "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"},
    "create_time": "2026-11-20T12:00:00Z",
    "update_time": "2026-11-22T12:00:00Z",
}


def test_a_reversal_takes_money_and_a_dispute_that_was_won_gives_it_back() -> None:
    reversal = refund("9XX00000000000000", CAPTURE, "25.50")
    taken, back = told("PAYMENT.CAPTURE.REVERSED", reversal), told("CUSTOMER.DISPUTE.RESOLVED", RESOLVED)

    assert isinstance(taken[0], DisputeFact)
    assert (taken[0].direction, taken[0].amount, taken[0].payment_ids) == ("withdrawn", 2550, (CAPTURE,))
    [lost] = fold_gateway(taken)[1]
    assert (lost.refund.kind, lost.refund.status, lost.refund.amount) == ("chargeback", "succeeded", 2550)
    [won] = fold_gateway([*taken, *back])[1]
    assert won.refund.status == "reversed"
    assert fold_gateway(back)[1] == []  # what was never taken is not given back


def test_a_reversal_that_is_the_capture_itself_is_one_of_it() -> None:
    [fact] = told("PAYMENT.CAPTURE.REVERSED", capture(CAPTURE, "25.50", status="REFUNDED"))
    assert isinstance(fact, DisputeFact)
    assert (fact.dispute_id, fact.payment_ids) == (CAPTURE, (CAPTURE,))


@pytest.mark.parametrize("outcome", [None, {}, {"outcome_code": "RESOLVED_BUYER_FAVOUR"}, {"outcome_code": ["x"]}])
def test_a_dispute_that_was_lost_moves_nothing_itself(outcome: object) -> None:
    assert told("CUSTOMER.DISPUTE.RESOLVED", RESOLVED | {"dispute_outcome": outcome}) == []


def test_a_dispute_about_several_payments_is_set_aside() -> None:
    with pytest.raises(NotUnderstood):
        told("CUSTOMER.DISPUTE.RESOLVED", RESOLVED | {"disputed_transactions": [{}, {}]})


def test_what_is_under_way_and_what_names_no_order_is_asked_about() -> None:
    about = [
        open_questions(KEYED, arrived("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "1.00", **more)))
        for more in ({"status": "PENDING"}, {"invoice_id": "1001"}, {})
    ]
    assert about == [[f"refund:{REFUND}", f"capture:{CAPTURE}"], [], [f"capture:{CAPTURE}"]]
    assert (PAYPAL.askable, KEYED.askable) == (False, True)
    assert not source(client_id="id", client_secret="secret", poll_interval="off").askable


# Hostile -------------------------------------------------------------------------------------------------------------

HOSTILE: list[dict[str, Any]] = [
    {"id": None},
    {"id": {}},
    {"id": "a\0"},
    {"status": "GONE"},
    {"status": None},
    {"status": []},
    {"amount": "3.00"},
    {"amount": {"currency_code": "GBP", "value": "1e999999999"}},
    {"amount": {"currency_code": "GBP", "value": "3,00"}},
    {"amount": {"currency_code": "GBP", "value": "3.005"}},
    {"amount": {"currency_code": "GBP", "value": True}},
    {"amount": {"currency_code": "GBP", "value": 10**30}},
    {"amount": {"currency_code": "pounds", "value": "3.00"}},
    {"amount": {"value": "3.00"}},
    {"create_time": None},
    {"create_time": "soon"},
    {"update_time": 5},
    {"capture_id": ["x"]},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=range(len(HOSTILE)))
def test_a_refund_that_cannot_be_read_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00", **changes))


@pytest.mark.parametrize("links", [None, {}, [None], [{"rel": "up"}], [{"rel": "up", "href": "x" * 10**6}]])
def test_a_refund_without_a_readable_link_still_counts(links: object) -> None:
    [fact] = told("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00", links=links))
    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ()


LINE = {
    "transaction_id": REFUND,
    "paypal_reference_id": CAPTURE,
    "transaction_initiation_date": "2026-11-20T12:00:00+0000",
    "transaction_updated_date": "2026-11-20T12:00:00+0000",
    "transaction_amount": {"currency_code": "GBP", "value": "-3.00"},
    "transaction_status": "S",
    "custom_field": "1001",
}
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0", "9" * 99]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
THINGS = [
    ("PAYMENT.CAPTURE.REFUNDED", refund(REFUND, CAPTURE, "3.00")),
    ("PAYMENT.CAPTURE.REVERSED", refund(REFUND, CAPTURE, "3.00")),
    ("PAYMENT.CAPTURE.COMPLETED", capture(CAPTURE, "3.00")),
    ("PAYMENT.AUTHORIZATION.VOIDED", capture(CAPTURE, "3.00")),
    ("CUSTOMER.DISPUTE.RESOLVED", RESOLVED),
]


@given(st.sampled_from([*THINGS, (TRANSACTION, LINE)]), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(
    thing: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    event_type, resource = thing[0], dict(thing[1])
    for _ in range(data.draw(st.integers(1, 3))):
        resource[data.draw(st.sampled_from(sorted(resource)))] = data.draw(JUNK)
    polled = Event(1, "paypal", "k", event_type, json.dumps(resource).encode(), AT)
    hostile = polled if event_type == TRANSACTION else arrived(event_type, resource)

    try:
        facts = PAYPAL.interpret(hostile)
    except NotUnderstood:
        return
    assert all(decode(encode(fact)) == fact and "\\u0000" not in encode(fact) for fact in facts)
    assert all(about.isascii() for about in open_questions(PAYPAL, hostile))


def test_a_refund_that_the_search_calls_reversed_is_canceled() -> None:
    states = [
        PAYPAL.interpret(
            Event(1, "paypal", "k", TRANSACTION, json.dumps(LINE | {"transaction_status": s}).encode(), AT)
        )
        for s in "SPDV"
    ]
    told = [(f.status, f.amount, f.payment_ids, f.order_refs) for [f] in states if isinstance(f, RefundFact)]
    assert [status for status, *_ in told] == ["succeeded", "pending", "failed", "canceled"]
    assert told[0][1:] == (300, (CAPTURE,), ("1001",))


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"webhook_ids": []}, "webhook_ids"),
        ({"webhook_ids": ["a|b"]}, "webhook_ids"),
        ({"webhook_ids": ["WEBHOOK_ID"]}, "simulator"),
        ({"client_id": "id"}, "go together"),
        ({"api_base": "https://api-m.paypal.com/v1"}, "without /v1"),
        ({"api_base": "http://api-m.paypal.com"}, "https"),
        ({"clientid": "x"}, "clientid"),
    ],
)
def test_mistakes_of_the_configuration_are_named(settings: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        source(**settings)


def test_times_of_an_event_stand_in_where_a_resource_has_none() -> None:
    thing = capture(CAPTURE, "3.00")
    del thing["update_time"], thing["create_time"]
    [fact] = told("PAYMENT.CAPTURE.COMPLETED", thing)
    assert isinstance(fact, PaymentFact)
    assert fact.as_of == AT + 3600 * SECOND
