"""Rows of reports: what they say, how they are written, and what is never guessed."""

import json
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import DisputeFact, Fact, OrderFact, RefundFact
from ledger.instants import SECOND, Instant, from_rfc3339
from ledger.payments import fold_gateway
from sources.base import Event, NotUnderstood
from sources.imports import GATEWAY_FIELDS, REFUND, STOREFRONT_FIELDS, Form, Told, facts_of, told_by
from sources.infigo import Infigo, InfigoSettings
from sources.stripe import Stripe, StripeSettings

NOW = from_rfc3339("2026-11-23T17:00:00Z")
STRIPE = Stripe("stripe", StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": ["a"]}))
SHOP = Infigo("shop", InfigoSettings.model_validate({"kind": "infigo", "webhook_token": "a"}))
REFUNDED = {
    "id": "re_1",
    "status": "succeeded",
    "amount": "12.50",
    "currency": "gbp",
    "at": "2026-11-20T10:00:00Z",
    "payment": "pi_1",
    "order": "1001",
}
ORDERED = {
    "order": "1001",
    "occurred_at": "2026-11-20T10:00:00Z",
    "payment_status": "Partially Refunded",
    "order_status": "Complete",
    "total": "100.00",
    "refunded": "12.50",
    "currency": "GBP",
    "method": "Payments.Stripe",
    "transaction": "pi_1",
    "guid": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "placed_at": "2026-11-01",
}


def at(text: str) -> Instant:
    return from_rfc3339(text)


def refund(form: Form | None = None, /, **changes: str) -> Told:
    return told_by(STRIPE, REFUNDED | changes, form or Form(), NOW)


def order(form: Form | None = None, /, **changes: str) -> Told:
    return told_by(SHOP, ORDERED | changes, form or Form(), NOW)


def only(told: Told) -> Any:  # noqa: ANN401 - one kind of fact or another
    [fact] = told.facts
    return fact


def test_a_refund_is_read_for_any_gateway() -> None:
    made = at("2026-11-20T10:00:00Z")

    assert refund().facts == [
        RefundFact("stripe", "re_1", "refund", "succeeded", 1250, "GBP", made, made, ("pi_1",), ("1001",))
    ]
    assert refund().message.type == REFUND


def test_a_row_of_a_storefront_is_an_order_change_event() -> None:
    fact = only(order())

    assert isinstance(fact, OrderFact)
    assert (fact.order_id, fact.total, fact.refunded, fact.currency) == ("1001", 10000, 1250, "GBP")
    assert (fact.payment_status, fact.cancelled, fact.transactions) == ("partially_refunded", False, ("pi_1",))
    assert (fact.as_of, fact.placed_at) == (at("2026-11-20T10:00:00Z"), at("2026-11-01T00:00:00Z"))
    assert fact.order_refs == ("1001", "0f8fad5b-d9cb-469f-a")
    assert json.loads(order().message.body)["event"] == order().message.type == "order.changed"


@pytest.mark.parametrize("payment", ["0", "n/a", "-", ""])
def test_what_stands_where_a_payment_has_no_id_does_not_make_one_payment_of_all(payment: str) -> None:
    assert only(refund(payment=payment)).payment_ids == ()


@pytest.mark.parametrize(("kind", "direction"), [("chargeback", "withdrawn"), ("Chargeback_Reversed", "reinstated")])
def test_chargebacks_and_their_reversals(kind: str, direction: str) -> None:
    fact = only(refund(kind=kind, id="dp_1"))

    assert isinstance(fact, DisputeFact)
    assert (fact.dispute_id, fact.direction, fact.amount) == ("dp_1", direction, 1250)
    assert refund(kind=kind, status="pending").facts == []


def test_the_same_row_has_the_same_identity_however_its_amount_and_currency_are_written() -> None:
    assert refund().message.key == refund(amount="£12.5", currency="GBP").message.key == refund(as_of="").message.key
    assert (
        len({str(refund(**{n: v}).message.key) for n, v in (("amount", "12.51"), ("id", "re_2"), ("order", ""))}) == 3
    )
    assert str(refund().message.key).startswith("import:")


@pytest.mark.parametrize(
    ("text", "decimal_comma", "minor"),
    [
        ("12.50", False, 1250),
        ("12", False, 1200),
        ("1,234.56", False, 123456),
        ("1,234,567", False, 123456700),
        ("£ 12.50", False, 1250),
        ("12,50", True, 1250),
        ("1.234,56", True, 123456),
        ("1.234", True, 123400),
        ("12\u00a0,50 €", True, 1250),
        ("0.10", False, 10),
        ("4,503,599,627,370.49", False, 450359962737049),
        ("1\u202f234 567,50", True, 123456750),
    ],
)
def test_amounts_are_read_exactly(text: str, minor: int, *, decimal_comma: bool) -> None:
    assert only(refund(Form(decimal_comma=decimal_comma), amount=text)).amount == minor


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        ("12,50", Form(), "perhaps it is with --decimal-comma"),
        ("12.50", Form(decimal_comma=True), "perhaps it is without --decimal-comma"),
        ("1,23,456", Form(), "not a decimal number"),
        ("1.234.56", Form(), "not a decimal number"),
        ("12.505", Form(), "more decimals"),
        ("1e3", Form(), "not a decimal number"),
        ("12.50 GBP", Form(), "not a decimal number"),
        ("١٢", Form(), "not a decimal number"),
        ("(12.50)", Form(), "not a decimal number"),
        ("1€50", Form(), "not a decimal number"),
        ("1$50", Form(decimal_comma=True), "not a decimal number"),
        ("12 50", Form(), "not a decimal number"),
        ("9" * 30, Form(), "not a decimal number"),
        ("-12.50", Form(), "amount is negative: --negative allows it"),
        ("12.50", Form(negative=True), "amount is not negative, as --negative says"),
    ],
)
def test_an_amount_that_is_written_otherwise_is_not_guessed(text: str, form: Form, reason: str) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        refund(form, amount=text)


def test_what_went_back_may_be_written_with_a_minus() -> None:
    assert only(refund(Form(negative=True), amount="-1,234.50")).amount == 123450
    assert only(refund(Form(negative=True), amount="0.00")).amount == 0
    assert only(order(Form(negative=True), refunded="-12.50")).refunded == 1250
    with pytest.raises(NotUnderstood, match="refunded is not negative, as --negative says"):
        order(Form(negative=True))
    with pytest.raises(NotUnderstood, match="refunded is negative: --negative allows it"):
        order(refunded="-12.50")


@pytest.mark.parametrize(
    ("text", "date_format", "zone", "told"),
    [
        ("2026-11-20T10:00:00+01:00", None, UTC, "2026-11-20T09:00:00Z"),
        ("2026-11-20 10:00:00", None, UTC, "2026-11-20T10:00:00Z"),
        ("2026-07-20 10:00:00", None, ZoneInfo("Europe/London"), "2026-07-20T09:00:00Z"),
        ("20/11/2026 10:00", "%d/%m/%Y %H:%M", UTC, "2026-11-20T10:00:00Z"),
        ("11/20/2026 10:00 PM", "%m/%d/%Y %I:%M %p", ZoneInfo("America/New_York"), "2026-11-21T03:00:00Z"),
    ],
)
def test_times_in_the_form_and_zone_of_the_report(text: str, date_format: str | None, zone: tzinfo, told: str) -> None:
    fact = only(refund(Form(date_format=date_format, zone=zone), at=text))

    assert (fact.at, fact.as_of) == (at(told), at(told))


@pytest.mark.parametrize(("text", "date_format"), [("2026-11-20", None), ("20.11.2026", "%d.%m.%Y")])
def test_a_day_without_a_time_yields_to_an_event_that_tells_the_hour(text: str, date_format: str | None) -> None:
    imported = only(refund(Form(date_format=date_format), at=text))
    made, failed = at("2026-11-20T10:00:00Z"), at("2026-11-20T15:00:00Z")
    by_webhook = RefundFact("stripe", "re_1", "refund", "failed", 1250, "GBP", made, failed, ("pi_1",))

    [one] = fold_gateway([imported, by_webhook])[1]
    assert (one.refund.status, one.refund.at) == ("failed", made)
    [alone] = fold_gateway([imported])[1]
    assert (alone.refund.status, alone.refund.at) == ("succeeded", at("2026-11-21T00:00:00Z") - 1)


@pytest.mark.parametrize(("day", "last"), [("2024-03-31", "22:59"), ("2024-10-27", "23:59"), ("2024-11-30", "23:59")])
def test_a_day_ends_at_midnight_of_its_zone_also_where_the_clock_is_changed_in_it(day: str, last: str) -> None:
    told = only(refund(Form(zone=ZoneInfo("Europe/London")), at=day))

    assert told.at == at(f"{day}T{last}:59.999999Z")


def test_a_day_that_is_not_over_is_known_again_later_in_the_day() -> None:
    morning = told_by(STRIPE, REFUNDED | {"at": "2026-11-23"}, Form(), NOW - 3600 * SECOND)
    evening = told_by(STRIPE, REFUNDED | {"at": "2026-11-23"}, Form(), NOW)

    assert morning.message == evening.message
    assert only(evening).at == NOW


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"at": "20/11/2026"}, "at is not a time as 2026-11-20"),
        ({"at": "2026-11-24T10:00:00Z"}, "at is later than now"),
        ({"at": "0001-01-01"}, "at is out of range"),
        ({"as_of": "soon"}, "as_of is not a time"),
        ({"status": "Paid"}, "status is none of pending, succeeded, failed, canceled: say with --value"),
        ({"kind": "payout"}, "kind is none of refund, void"),
        ({"currency": "pounds"}, "currency is not three letters"),
        ({"id": ""}, "id is empty"),
        ({"id": "r\u00e9"}, "id is missing or not an identifier"),
        ({"id": "N/A"}, "id is missing or not an identifier"),
        ({"payment": "p\n1"}, "payment is missing or not an identifier"),
    ],
)
def test_what_a_row_cannot_mean_is_a_reason(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        refund(**changes)


@pytest.mark.parametrize("text", ["1.05969E+08", "1,05969E+08", "1E+21", "1.05969e+08"])
def test_an_id_that_a_spreadsheet_has_shortened_is_no_id(text: str) -> None:
    for read, name in ((refund, "id"), (refund, "payment"), (order, "order"), (order, "transaction")):
        with pytest.raises(NotUnderstood, match=f"{name} is a number that a spreadsheet has shortened"):
            read(**{name: text})
    assert only(refund(id="1E5")).id == "1E5"


def test_everything_that_is_wrong_with_a_row_is_told_together() -> None:
    with pytest.raises(NotUnderstood) as caught:
        refund(status="Paid", amount="12,50", at="20/11/2026", kind="payout")

    assert [fault.split(" is ")[0] for fault in str(caught.value).split("; ")] == [
        "kind",
        "status",
        "amount",
        "at",
    ]
    with pytest.raises(NotUnderstood, match="status is empty; at is empty"):
        refund(status="", at="")


def test_a_status_of_a_payment_that_is_not_known_is_not_taken_as_untold() -> None:
    with pytest.raises(NotUnderstood, match="payment_status is none of Pending"):
        order(payment_status="Erstattet")
    words = {("payment_status", "Erstattet"): "Refunded"}
    assert only(order(Form(words=words), payment_status="Erstattet")).payment_status == "refunded"
    assert only(order(payment_status="")).payment_status is None


def test_words_of_a_report_are_translated_for_their_own_field_only() -> None:
    form = Form(words={("status", "Paid"): "succeeded", ("kind", "Paid"): "void"})

    fact = only(refund(form, status="Paid"))
    assert (fact.status, fact.kind) == ("succeeded", "refund")


def test_amounts_of_an_order_need_a_currency() -> None:
    with pytest.raises(NotUnderstood, match="tells no currency"):
        order(currency="")


def test_an_event_that_is_no_import_is_read_by_its_source() -> None:
    message = order().message

    assert facts_of(SHOP, Event(1, "shop", "k", message.type, message.body, NOW)) == order().facts


@pytest.mark.parametrize(
    "changes",
    [{"amount": "-1.00"}, {"kind": "x"}, {"status": None}, {"at": 7}, {"currency": None}, {"payment_ids": [None]}],
)
def test_a_body_that_no_import_writes_is_not_understood(changes: dict[str, Any]) -> None:
    body = json.dumps(json.loads(refund().message.body) | changes).encode()

    with pytest.raises(NotUnderstood):
        facts_of(STRIPE, Event(1, "stripe", "k", REFUND, body, NOW))


@given(st.dictionaries(st.sampled_from([*GATEWAY_FIELDS]), st.text()), st.booleans())
def test_any_text_in_any_cell_of_a_refund_is_read_or_refused(cells: dict[str, str], negative: bool) -> None:
    facts: list[Fact] = []
    with suppress(NotUnderstood):
        facts = told_by(STRIPE, REFUNDED | cells, Form(negative=negative), NOW).facts
    assert all(isinstance(f, RefundFact | DisputeFact) and f.amount >= 0 and f.at <= NOW for f in facts)


@given(st.dictionaries(st.sampled_from([*STOREFRONT_FIELDS]), st.text()))
def test_any_text_in_any_cell_of_an_order_is_read_or_refused(cells: dict[str, str]) -> None:
    try:
        [fact] = told_by(SHOP, ORDERED | cells, Form(), NOW).facts
    except NotUnderstood:
        return
    assert isinstance(fact, OrderFact)
    assert (fact.refunded or 0) >= 0
