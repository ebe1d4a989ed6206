"""What Infigo's messages say, in each of their three shapes."""

import base64
import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import Fact, OrderFact, encode
from ledger.instants import from_rfc3339
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.infigo import Infigo, InfigoSettings
from tests.sources.questions import open_questions

ARRIVED = from_rfc3339("2026-11-20T13:00:00Z")
GUID = "8c7d1f0a-33b4-4f0e-9d0e-0a1b2c3d4e5f"
CHANGED: dict[str, Any] = {
    "event": "order.changed",
    "occurred_at": "2026-11-20T12:30:00Z",
    "order": {
        "Id": 1001,
        "OrderGuid": GUID,
        "OrderStatus": "Cancelled",
        "PaymentStatus": "PartiallyRefunded",
        "OrderTotal": 120.00,
        "RefundedAmount": 15.00,
        "CustomerCurrencyCode": "GBP",
        "PaymentMethodSystemName": "Payments.Stripe",
        "CaptureTransactionId": "pi_3RkT5c",
        "AuthorizationTransactionId": None,
        "CreatedOnUtc": "2026-11-01T09:00:00Z",
    },
}
DOCUMENT: dict[str, Any] = {
    "OrderId": 1001,
    "OrderGuid": GUID,
    "StoreFrontName": "demo",
    "Amount": 120.5,
    "OrderStatusId": 20,
    "OrderStatus": "Processing",
    "PaymentStatusId": 30,
    "PaymentStatus": "Paid",
    "PaymentMethod": "Payments.AuthorizeNet",
    "PaymentTransactionId": "60019392075,8VTPDC",
    "Currency": "USD",
    "OrderDateUtc": "2026-11-01T09:00:00.1234567",
    "Customer": {"Email": "someone@example.com"},
    "Totals": {"CurrencyCode": "USD", "TotalPrice": 120.5},
}
ENVELOPE: dict[str, Any] = {
    "webhook": {"action": "updated", "entity": "orderlineitem"},
    "data": [{"Id": "s1234", "CustomerId": 123, "Status": 23, "Name": "Cards"}],
}


def infigo(**settings: object) -> Infigo:
    return Infigo("shop", InfigoSettings.model_validate({"kind": "infigo", "webhook_token": "t0ken", **settings}))


SHOP = infigo()


def messages(value: object) -> list[Message]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return SHOP.messages(Delivery({}, body, ARRIVED))


def interpret(value: object, source: Infigo = SHOP) -> list[Fact]:
    return source.interpret(Event(1, "shop", "k", "", json.dumps(value).encode(), ARRIVED))


def order(value: object, source: Infigo = SHOP) -> OrderFact:
    [fact] = interpret(value, source)
    assert isinstance(fact, OrderFact)
    return fact


def changed(**changes: object) -> dict[str, Any]:
    """The event with `changes` to its order."""
    event = deepcopy(CHANGED)
    event["order"].update(changes)
    return event


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"authorization": "Bearer t0ken"}, True),
        ({"authorization": "Basic " + base64.b64encode(b"anyone:t0ken").decode()}, True),
        ({"x-webhook-token": "t0ken"}, True),
        ({"authorization": "Bearer wrong", "x-webhook-token": "t0ken"}, True),
        ({}, False),
        ({"authorization": "Bearer"}, False),
        ({"authorization": "Bearer t0ke"}, False),
        ({"authorization": "t0ken"}, False),
        ({"authorization": "Basic " + base64.b64encode(b"t0ken:").decode()}, False),
        ({"authorization": "Basic \xe9"}, False),
        ({"x-webhook-token": "t0ken\xe9"}, False),
        ({"x-webhook-token": "\udcff€"}, False),
    ],
)
def test_the_token_may_come_in_three_ways(headers: dict[str, str], *, accepted: bool) -> None:
    assert SHOP.authentic(Delivery(headers, b"", ARRIVED)) is accepted


@given(st.dictionaries(st.sampled_from(["authorization", "x-webhook-token"]), st.text()), st.binary())
def test_any_headers_are_refused_and_never_raise(headers: dict[str, str], body: bytes) -> None:
    assert not SHOP.authentic(Delivery(headers, body, ARRIVED))


def test_no_header_is_kept() -> None:
    assert SHOP.kept_headers == ()


def test_an_event_is_known_by_its_id() -> None:
    body = json.dumps({"id": "e-1"} | CHANGED).encode()

    assert messages(body) == [Message("e-1", "order.changed", body, "used")]
    assert messages({"id": 17} | CHANGED)[0].key == "17"


def test_without_an_id_it_is_known_by_its_time_and_content() -> None:
    [first] = messages(CHANGED)
    [again] = messages(json.dumps(dict(reversed(CHANGED.items())), indent=2).encode())
    [other] = messages(changed(RefundedAmount=16))

    assert first.key == again.key != other.key
    assert first.key
    assert first.key.startswith("2026-11-20T12:30:00Z ")


def test_with_neither_id_nor_time_it_is_never_a_duplicate() -> None:
    without = {key: value for key, value in CHANGED.items() if key != "occurred_at"}

    assert [m.key for m in messages(without)] == [None]
    assert order(without).as_of == ARRIVED


def test_documents_and_envelopes_are_never_duplicates() -> None:
    assert [(m.key, m.type, m.verdict) for m in messages(DOCUMENT)] == [(None, "flow.order", "used")]
    assert [(m.key, m.type, m.verdict) for m in messages(ENVELOPE)] == [(None, "webhook", "used")]


def test_each_item_of_a_list_is_a_message_as_it_arrived() -> None:
    first, second = json.dumps(CHANGED, indent=3), json.dumps({"id": "e-2"} | CHANGED)

    found = messages(f'[{first}, {{"event": "order.changed"}} ,{second}, 7]'.encode())

    assert [m.body for m in found] == [first.encode(), b'{"event": "order.changed"}', second.encode(), b"7"]
    assert [m.verdict for m in found] == ["used", "malformed", "used", "malformed"]


@pytest.mark.parametrize("name", ["order.deleted", "webhook", "flow.order"])
def test_other_events_are_ignored(name: str) -> None:
    assert [m.verdict for m in messages(CHANGED | {"event": name})] == ["ignored"]
    with pytest.raises(NotUnderstood):
        interpret(CHANGED | {"event": name})


MALFORMED: list[Any] = [
    b"",
    b"[",
    b"{",
    b"\xff",
    b'{"a":' * 100_000,
    {},
    3,
    {"webhook": "x"},
    {"event": None},
    {"event": "order.changed"},
    CHANGED | {"order": []},
    CHANGED | {"occurred_at": "soon"},
    CHANGED | {"occurred_at": 17},
    CHANGED | {"id": "\ud800"},
    CHANGED | {"id": "x" * 256},
    changed(Id=None),
    changed(Id="a\0"),
    changed(Id=1.5),
]


@pytest.mark.parametrize("value", MALFORMED, ids=[ascii(value)[:40] for value in MALFORMED])
def test_what_has_no_shape_is_set_aside_by_its_hash(value: object) -> None:
    [message] = messages(value)

    assert message.verdict == "malformed"
    assert message.key
    assert message.key.startswith("sha256:")


def test_an_order_change_is_a_snapshot_at_its_own_time() -> None:
    fact = order(CHANGED)

    assert len(fact.digest) == 64
    assert fact == OrderFact(
        "shop",
        "1001",
        "event",
        as_of=from_rfc3339("2026-11-20T12:30:00Z"),
        arrived_at=ARRIVED,
        digest=fact.digest,
        currency="GBP",
        total=12000,
        refunded=1500,
        payment_status="partially_refunded",
        cancelled=True,
        transactions=("pi_3RkT5c",),
        method="Payments.Stripe",
        order_refs=("1001", GUID[:20]),
        placed_at=from_rfc3339("2026-11-01T09:00:00Z"),
    )


def test_a_snapshot_is_never_later_than_its_arrival() -> None:
    assert order(CHANGED | {"occurred_at": "2099-01-01T00:00:00Z"}).as_of == ARRIVED


def test_a_document_is_a_snapshot_at_placement() -> None:
    fact = order(DOCUMENT)

    assert (fact.origin, fact.as_of) == ("document", from_rfc3339("2026-11-01T09:00:00.123456Z"))
    assert (fact.currency, fact.total, fact.refunded) == ("USD", 12050, None)
    assert (fact.payment_status, fact.cancelled, fact.method) == ("paid", False, "Payments.AuthorizeNet")
    assert fact.transactions == ("60019392075", "60019392075,8VTPDC")
    assert fact.placed_at == fact.as_of


def test_a_document_without_a_time_counts_when_it_arrived() -> None:
    assert order(DOCUMENT | {"OrderDateUtc": "/Date(1793523600000)/"}).as_of == ARRIVED


def test_an_envelope_says_nothing_yet() -> None:
    assert interpret(ENVELOPE) == []


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    turned = CHANGED | {"order": dict(reversed(CHANGED["order"].items()))}

    assert order(turned).digest == order(CHANGED).digest
    assert order(changed(Note="x")).digest != order(CHANGED).digest


@pytest.mark.parametrize(
    ("told", "number", "status"),
    [
        ("PartiallyRefunded", None, "partially_refunded"),
        ("Partially refunded", None, "partially_refunded"),
        ("REFUNDED", None, "refunded"),
        ("authorised", None, "authorized"),
        (" Paid ", None, "paid"),
        (35, None, "partially_refunded"),
        ("50", None, "voided"),
        (None, 10, "pending"),
        ("Teilweise erstattet", 35, "partially_refunded"),
        ("OnHold", 99, None),
        (None, None, None),
        ([], {}, None),
    ],
)
def test_a_payment_status_is_read_by_name_else_by_number(told: object, number: object, status: str | None) -> None:
    assert order(changed(PaymentStatus=told, PaymentStatusId=number)).payment_status == status


@pytest.mark.parametrize(
    ("told", "cancelled"),
    [
        ("Cancelled", True),
        ("canceled", True),
        (40, True),
        ("Complete", False),
        (10, False),
        ("Held", None),
        (None, None),
    ],
)
def test_a_cancellation_is_told_denied_or_unknown(told: object, *, cancelled: bool | None) -> None:
    assert order(changed(OrderStatus=told)).cancelled is cancelled


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (15, "GBP", 1500),
        ("15.00", "gbp", 1500),
        (0, "GBP", 0),
        (1500, "JPY", 1500),
        (None, "GBP", None),
        ("", "GBP", None),
    ],
)
def test_the_refunded_total_is_exact(amount: object, currency: str, minor: int | None) -> None:
    assert order(changed(RefundedAmount=amount, CustomerCurrencyCode=currency, OrderTotal=None)).refunded == minor


@pytest.mark.parametrize(
    "changes",
    [
        {"RefundedAmount": -0.01},
        {"RefundedAmount": 15.005},
        {"RefundedAmount": "15,00"},
        {"RefundedAmount": True},
        {"RefundedAmount": []},
        {"RefundedAmount": "1e999999999"},
        {"RefundedAmount": "NaN"},
        {"OrderTotal": -1},
        {"CustomerCurrencyCode": "pounds"},
        {"CustomerCurrencyCode": None},
    ],
    ids=str,
)
def test_an_amount_that_cannot_be_taken_exactly_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        interpret(changed(**changes))


def test_an_order_without_a_currency_takes_the_configured_one() -> None:
    assert order(changed(CustomerCurrencyCode=None), infigo(currency="EUR")).currency == "EUR"
    assert order(changed(CustomerCurrencyCode=None, RefundedAmount=None, OrderTotal=None)).currency is None
    assert order({k: v for k, v in DOCUMENT.items() if k != "Currency"}).currency == "USD"


@pytest.mark.parametrize(
    ("captured", "authorised", "transactions"),
    [
        ("pi_1", None, ("pi_1",)),
        ("pi_1", "pi_1", ("pi_1",)),
        ("600,ABC", "500 , DEF", ("600", "600,ABC", "500", "500 , DEF")),
        (60019392075, None, ("60019392075",)),
        ("", "ch_1", ("ch_1",)),
        ("a\0b", None, ()),
        (",x", None, (",x",)),
        ([], {}, ()),
        ("0", "n/a", ()),
        ("None", "--", ()),
        ("00000000,0", None, ()),
    ],
)
def test_an_order_names_its_payments(captured: object, authorised: object, transactions: tuple[str, ...]) -> None:
    fact = order(changed(CaptureTransactionId=captured, AuthorizationTransactionId=authorised))

    assert fact.transactions == transactions


@pytest.mark.parametrize("guid", [None, "", "00000000-0000-0000-0000-000000000000", 0, "\ud800"])
def test_an_empty_guid_is_no_reference(guid: object) -> None:
    assert order(changed(OrderGuid=guid)).order_refs == ("1001",)


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([CHANGED["order"], DOCUMENT]),
    st.dictionaries(st.sampled_from([*CHANGED["order"], *DOCUMENT]), JUNK, min_size=1, max_size=3),
    JUNK,
)
def test_any_value_in_any_place_gives_facts_or_is_not_understood(
    known: dict[str, Any], changes: dict[str, Any], occurred_at: object
) -> None:
    for event in (known | changes, {"event": "order.changed", "occurred_at": occurred_at, "order": known | changes}):
        assert len(messages(event)) == 1
        try:
            facts = interpret(event)
        except NotUnderstood:
            continue
        texts = [encode(fact) for fact in facts]
        assert not any("\\u0000" in text or "\\ud8" in text for text in texts)
        assert all(isinstance(f, OrderFact) and 0 <= f.as_of <= ARRIVED for f in facts)
        assert open_questions(SHOP, Event(1, "shop", "k", "", json.dumps(event).encode(), ARRIVED)) in (
            [],
            ["order:1001"],
        )


@given(JUNK, JUNK | st.lists(st.dictionaries(st.sampled_from(["Id", "OrderId"]), JUNK)))
def test_any_envelope_asks_only_for_ids(entity: object, items: object) -> None:
    envelope = Event(1, "shop", "k", "webhook", json.dumps({"webhook": {"entity": entity}, "data": items}).encode(), 0)
    try:
        SHOP.interpret(envelope)
    except NotUnderstood:
        return

    for about in open_questions(SHOP, envelope):
        assert re.fullmatch(r"(job|order):[A-Za-z0-9-]{1,50}", about)


@given(JUNK)
def test_any_json_is_named_or_set_aside(value: object) -> None:
    for message in messages(value):
        assert message.verdict in ("used", "malformed", "ignored")


def test_a_list_of_a_thousand_events_is_cut_no_shorter() -> None:
    assert len(messages([CHANGED] * 1000)) == 1000
    assert [m.verdict for m in messages([CHANGED] * 1001)] == ["malformed"]
