"""A gateway by configuration alone: what its events become, and what they never become."""
# ruff: noqa: ANN401 - the fields that a test changes have many types

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.problems import ConfigError
from ledger.facts import DisputeFact, Fact, RefundFact, decode, encode
from ledger.instants import SECOND, from_rfc3339
from ledger.money import AMOUNT_MAX
from sources.base import Delivery, Event, Message, NotUnderstood
from sources.custom import Custom, CustomSettings
from sources.registry import load
from tests.sources.custom_signed import hash_headers, hmac_headers

SECRET = "secret-of-the-tests"
AT = from_rfc3339("2026-11-20T10:00:00Z")
LATER = AT + 10**12
MAPPING: dict[str, Any] = {
    "kind": "custom",
    "webhook_secrets": [SECRET],
    "signature": {"scheme": "hmac", "header": "X-Signature"},
    "event_id": "id",
    "type": {
        "path": "type",
        "values": {
            "refund.made": "refund",
            "refund.failed": "refund",
            "void": "void",
            "dispute": "chargeback",
            "dispute.won": "chargeback_reversed",
        },
    },
    "status": {
        "path": "data.state",
        "values": {
            "new": "pending",
            "done": "succeeded",
            "bad": "failed",
            "gone": "canceled",
            "draft": "ignored",
            "true": "succeeded",
        },
    },
    "refund_id": "data.refund.id",
    "payment_id": ["data.payment", "data.charges.0.id"],
    "order_keys": ["data.order", "data.meta.number"],
    "amount": {"path": "data.refund.amount", "form": "decimal"},
    "currency": {"path": "data.refund.currency"},
    "time": {"path": "at"},
}


def source(**changes: Any) -> Custom:
    """A source with this mapping; a change to None leaves the key out."""
    told = {name: value for name, value in (MAPPING | changes).items() if value is not None}
    return Custom("gate", CustomSettings.model_validate(told))


GATE = source()


def event(event_type: str = "refund.made", **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "state": "done",
        "refund": {"id": "r1", "amount": "12.50", "currency": "gbp"},
        "payment": "p1",
        "charges": [{"id": "c1"}],
        "order": 1001,
    }
    refund = {name: changes.pop(name) for name in ("amount", "currency", "refund_id") if name in changes}
    data["refund"] |= {name.removeprefix("refund_"): value for name, value in refund.items()}
    return {"id": "e1", "type": event_type, "at": "2026-11-20T10:00:00Z", "data": data | changes}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def messages(value: object, asked: Custom = GATE, headers: dict[str, str] | None = None) -> list[Message]:
    raw = value if isinstance(value, bytes) else body(value)
    return asked.messages(Delivery(headers or {}, raw, LATER))


def facts(value: object, asked: Custom = GATE) -> list[Fact]:
    [message] = messages(value, asked)
    assert message.verdict == "used"
    return asked.interpret(Event(1, "gate", str(message.key), message.type, message.body, LATER))


def refused(value: object, asked: Custom = GATE) -> str:
    with pytest.raises(NotUnderstood) as caught:
        facts(value, asked)
    return str(caught.value)


def test_a_refund_is_read_from_where_the_mapping_says() -> None:
    assert facts(event()) == [
        RefundFact("gate", "r1", "refund", "succeeded", 1250, "GBP", AT, AT, ("p1", "c1"), ("1001",))
    ]


@pytest.mark.parametrize(
    ("state", "status"),
    [("new", "pending"), ("done", "succeeded"), ("bad", "failed"), ("gone", "canceled"), (True, "succeeded")],
)
def test_its_words_for_a_status_become_ours(state: object, status: str) -> None:
    [fact] = facts(event(state=state))

    assert isinstance(fact, RefundFact)
    assert fact.status == status


def test_without_a_table_of_statuses_everything_that_is_told_has_succeeded() -> None:
    [fact] = facts(event(state="whatever"), source(status=None))

    assert isinstance(fact, RefundFact)
    assert fact.status == "succeeded"


def test_a_void_and_the_movements_of_a_dispute() -> None:
    [void] = facts(event("void"))
    [taken] = facts(event("dispute"))
    [given_back] = facts(event("dispute.won"))

    assert isinstance(void, RefundFact)
    assert void.kind == "void"
    assert taken == DisputeFact("gate", "r1", "", "withdrawn", 1250, "GBP", AT, ("p1", "c1"))
    assert given_back == DisputeFact("gate", "r1", "", "reinstated", 1250, "GBP", AT, ("p1", "c1"))
    assert facts(event("dispute", state="new")) == []


@pytest.mark.parametrize("told", ["0", 0, "N/A", "-"])
def test_what_stands_where_a_payment_has_no_id_does_not_make_one_payment_of_all(told: object) -> None:
    [fact] = facts(event(payment=told))

    assert isinstance(fact, RefundFact)
    assert fact.payment_ids == ("c1",)


def test_the_words_of_several_places_are_joined() -> None:
    joined = source(type={"path": ["event", "action", "part"], "values": {"transaction.refund": "refund"}})
    told = event() | {"event": "transaction", "action": "refund"}

    assert [m.type for m in messages(told, joined)] == ["transaction.refund"]
    assert len(facts(told, joined)) == 1


@pytest.mark.parametrize("changed", [event("payment.made"), event("Refund.made"), event(state="draft")])
def test_a_type_that_is_not_listed_and_a_status_of_no_use_are_ignored(changed: dict[str, Any]) -> None:
    assert [m.verdict for m in messages(changed)] == ["ignored"]


def test_an_event_that_became_of_no_use_after_it_was_stored_says_nothing() -> None:
    told = body(event(state="draft"))

    assert GATE.interpret(Event(1, "gate", "e1", "refund.made", told, LATER)) == []


NOT_READ = [
    (event(state="unheard of"), "the status at data.state is none of those in status.values"),
    (event(state=None), "there is no status at data.state"),
    (event(amount=None), "amount is not a decimal number"),
    (event(amount="-12.50"), "amount is negative"),
    (event(amount="12.505"), "more decimals"),
    (event(amount="1,250.00"), "amount is not a decimal number"),
    (event(amount=True), "amount is not a decimal number"),
    (event(amount="9" * 20), "amount is out of range"),
    (event(currency="pounds"), "currency is not three letters"),
    (event(currency=None), "currency is not three letters"),
    (event(refund_id=""), "the id at data.refund.id is missing"),
    (event(refund_id={"id": 1}), "the id at data.refund.id is missing"),
    (event(refund_id="n/a"), "the id at data.refund.id is missing"),
    (event(payment={"id": 1}), "the id at data.payment is missing or not an identifier"),
    (event() | {"at": "yesterday at ten"}, "time is not in RFC 3339 form"),
    (event() | {"at": None}, "time is not in RFC 3339 form"),
    (event(state="done", refund=[]), "currency is not three letters"),
]


@pytest.mark.parametrize(("told", "reason"), NOT_READ, ids=[reason[:30] for _, reason in NOT_READ])
def test_what_is_not_where_it_should_be_is_set_aside_with_a_reason(told: object, reason: str) -> None:
    assert reason in refused(told)


MALFORMED = [
    b"",
    b"\xff{}",
    b"[" * 100_000,
    b"null",
    b'"text"',
    b"{}",
    b'{"id":"e1"}',
    b'{"id":"e1","type":["refund.made"]}',
    b'{"id":"e1","type":7e9999}',
    b'{"type":"refund.made"}',
    b'{"id":"\\u0000","type":"refund.made"}',
    body(event() | {"id": None}),
    body(event() | {"id": 0}),
    b'{"id":' + b"9" * 5000 + b',"type":"refund.made"}',
]


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_what_has_no_type_or_no_id_is_kept_and_set_aside(raw: bytes) -> None:
    [message] = messages(raw)

    assert (message.verdict, message.body) == ("malformed", raw)
    assert str(message.key).startswith("sha256:")
    with pytest.raises(NotUnderstood):
        GATE.interpret(Event(1, "gate", str(message.key), message.type, message.body, LATER))


# Amounts, currencies, times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "form", "minor"),
    [
        (1250, "GBP", "minor", 1250),
        ("1250", "GBP", "minor", 1250),
        (1250, "JPY", "minor", 1250),
        (1250, "ISK", "minor", 1250),
        (12.5, "GBP", "decimal", 1250),
        ("12.5", "GBP", "decimal", 1250),
        (12, "GBP", "decimal", 1200),
        ("1250", "JPY", "decimal", 1250),
        ("1.250", "KWD", "decimal", 1250),
    ],
)
def test_an_amount_is_exact_in_either_form(amount: object, currency: str, form: str, minor: int) -> None:
    asked = source(amount={"path": "data.refund.amount", "form": form})
    [fact] = facts(event(amount=amount, currency=currency), asked)

    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (minor, currency)


@pytest.mark.parametrize("amount", [12.5, "12.50", "", None, [1250], 10**30, -1])
def test_minor_units_are_whole(amount: object) -> None:
    assert "amount is" in refused(event(amount=amount), source(amount={"path": "data.refund.amount", "form": "minor"}))


def test_a_gateway_may_count_a_currency_in_its_own_way() -> None:
    asked = source(amount={"path": "data.refund.amount", "form": "minor"}, currency_decimals={"ISK": 2})
    [fact] = facts(event(amount=1200, currency="ISK"), asked)

    assert isinstance(fact, RefundFact)
    assert fact.amount == 12
    assert "more decimals" in refused(event(amount=1250, currency="ISK"), asked)


def test_a_fixed_currency_is_used_whatever_is_told() -> None:
    [fact] = facts(event(currency="EUR"), source(currency={"fixed": "USD"}))

    assert isinstance(fact, RefundFact)
    assert fact.currency == "USD"


@pytest.mark.parametrize(
    ("form", "told", "at"),
    [
        ("rfc3339", "2026-11-20T10:00:00Z", AT),
        ("rfc3339", "2026-11-20T12:00:00+02:00", AT),
        ("rfc3339", "2026-11-20 10:00:00", AT),
        ("seconds", AT // SECOND, AT),
        ("seconds", str(AT // SECOND), AT),
        ("milliseconds", AT // 1000 + 7, AT + 7000),
        ("milliseconds", str(AT // 1000), AT),
        ("seconds", LATER // SECOND + 9, LATER),
    ],
)
def test_times_in_each_form_and_never_later_than_the_arrival(form: str, told: object, at: int) -> None:
    [fact] = facts(event() | {"at": told}, source(time={"path": "at", "form": form}))

    assert isinstance(fact, RefundFact)
    assert (fact.at, fact.as_of) == (at, at)


@pytest.mark.parametrize("form", ["rfc3339", "seconds", "milliseconds"])
@pytest.mark.parametrize("told", [None, True, -5, 1.5, "soon", "9" * 30, [], 10**18])
def test_what_is_not_a_time_in_that_form_is_not_read_as_one(form: str, told: object) -> None:
    assert refused(event() | {"at": told}, source(time={"path": "at", "form": form})).startswith("time is ")


def test_without_a_time_the_arrival_counts() -> None:
    [fact] = facts(event(), source(time=None))

    assert isinstance(fact, RefundFact)
    assert fact.at == LATER


# Identity and lists --------------------------------------------------------------------------------------------------


def test_an_event_is_known_by_its_id_else_by_its_content() -> None:
    assert [m.key for m in messages(event())] == ["e1"]
    [by_content] = messages(event(), source(event_id=None))
    assert re.fullmatch("sha256:[0-9a-f]{64}", str(by_content.key))


def test_with_standard_webhooks_an_event_is_known_by_its_signed_id() -> None:
    asked = source(event_id=None, signature={"scheme": "standard_webhooks"}, webhook_secrets=["c2VjcmV0"])

    assert [m.key for m in messages(event(), asked, {"webhook-id": "msg_1"})] == ["msg_1"]
    assert [m.verdict for m in messages(event(), asked, {"webhook-id": "\xff"})] == ["malformed"]
    # Of a list each item has to have a key of its own.
    keys = [str(m.key) for m in messages([event(), event("void")], asked, {"webhook-id": "msg_1"})]
    assert len({*keys}) == 2
    assert "msg_1" not in keys


@pytest.mark.parametrize("whole", [False, True])
def test_a_list_is_one_message_for_each_item_and_a_bad_one_is_set_aside_alone(whole: bool) -> None:
    listed: list[Any] = [event(), 7, event("payment.made"), event("void") | {"id": "e2"}]
    asked = GATE if whole else source(items="events")

    found = messages(listed if whole else {"count": 4, "events": listed}, asked)

    assert [m.verdict for m in found] == ["used", "malformed", "ignored", "used"]
    assert [m.key for m in found if m.verdict == "used"] == ["e1", "e2"]


@pytest.mark.parametrize("value", [event(), {"events": {}}, {"events": [1] * 1001}])
def test_a_body_without_its_list_is_set_aside_whole(value: object) -> None:
    assert [m.verdict for m in messages(value, source(items="events"))] == ["malformed"]


# Hostile values ------------------------------------------------------------------------------------------------------

JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0", "done"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
PLACES = ["id", "type", "at", "data", "state", "refund", "payment", "charges", "order", "amount", "currency"]


@given(st.sampled_from(PLACES), JUNK, st.sampled_from(["decimal", "minor"]))
def test_any_value_in_any_place_gives_facts_or_is_not_understood(place: str, junk: Any, form: str) -> None:
    told = event()
    inside = next(t for t in (told, told["data"], told["data"]["refund"]) if place in t)
    inside[place] = junk
    asked = source(amount={"path": "data.refund.amount", "form": form})

    for message in messages(told, asked):
        assert message.key
        assert message.key.isascii()
        try:
            found = asked.interpret(Event(1, "gate", message.key, message.type, message.body, LATER))
        except NotUnderstood:
            continue
        for fact in found:
            assert isinstance(fact, RefundFact | DisputeFact)
            assert 0 <= fact.amount <= AMOUNT_MAX
            assert fact.at <= LATER
            assert decode(encode(fact)) == fact


# Mistakes in the mapping ---------------------------------------------------------------------------------------------

MISTAKES = """
[sources.a]
kind = "custom"
webhook_secrets = ["not-to-be-shown"]
signature = { scheme = "hmac", hedder = "X-Signature", key_format = "hexx" }
type = { path = ["event", "subType"], values = { refund = "refnd" } }
status = { path = "a b", values = {} }
refund_id = "data..x"
amount = { path = "data.amount", form = "dezimal" }
currency = { path = "c", fixed = "USD" }
colour = 1

[sources.b]
kind = "custom"
webhook_secrets = ["not hexadecimal"]
signature = { scheme = "hmac", header = "X-Signature", key_format = "hex" }
type = { path = "t", values = { r = "refund" } }
refund_id = "id"
amount = "data.amount"
currency = "USD"

[sources.c]
kind = "custom"
webhook_secrets = ["not!base64"]
signature = { scheme = "standard_webhooks" }
type = { path = "t", values = { r = "refund" } }
refund_id = "id"
amount = { path = "amount", form = "minor" }
currency = {}

[sources.d]
kind = "custom"
webhook_secrets = ["not-to-be-shown"]
signature = { scheme = "hmac", header = "X: 1", signed = "{timestamp}.{body}" }

[sources.e]
kind = "custom"
signature = { scheme = "rsa" }

[sources.f]
kind = "custom"
signature = {}

[sources.g]
kind = "custom"
signature = { scheme = "hmac", header = "X", signed = "{timestamp}", timestamp_header = "T" }

[sources.h]
kind = "custom"
items = "data.events"
amount = { path = "amount", form = "decimal" }
currency_decimals = { ISK = 2 }
signature = { scheme = "hmac", header = "X", signed = "{timestamp}{body}", timestamp_prefix = "" }
"""
LINES = [
    "sources.a.signature.header: is missing; add it",
    "sources.a.signature.key_format = 'hexx': has to be 'text', 'hex' or 'base64'",
    "sources.a.signature.hedder: is not a key",
    "sources.a.type.values.refund = 'refnd': has to be 'refund', 'void', 'chargeback' or 'chargeback_reversed'",
    "sources.a.status.path.0 = 'a b': write the names on the way to it",
    "sources.a.status.values: is empty; name at least one or leave it out",
    "sources.a.refund_id = 'data..x': write the names on the way to it",
    "sources.a.amount.form = 'dezimal': has to be 'minor' or 'decimal'",
    'sources.a.currency: write either { path = "…" } or { fixed = "USD" }',
    "sources.a.colour: is not a key; choose from amount,",
    "sources.b.webhook_secrets: one is not hex, as signature.key_format says",
    "sources.b.amount = 'data.amount': has to be a table",
    "sources.b.currency = 'USD': has to be a table",
    "sources.c.webhook_secrets: one is not base64: copy the secret",
    'sources.c.currency: write either { path = "…" }',
    "sources.d.signature.header = 'X: 1': write the name of a header",
    "sources.d.refund_id: is missing; add it",
    "sources.e.signature.scheme: choose from hmac, hash, standard_webhooks, token, basic",
    "sources.e.webhook_secrets: is missing; add the secret, token or password",
    "sources.f.signature.scheme: is missing; add it",
    "sources.g.signature: signed does not name {body}",
    "sources.h.items = 'data.events': write the name of a member of the body itself",
    'sources.h.currency_decimals: counts minor units, and amount.form is "decimal": leave it out',
    "sources.h.signature: {timestamp} in signed, and either timestamp_header or timestamp_prefix, go together",
]


def test_mistakes_in_a_mapping_are_found_at_start_all_at_once_one_line_each(tmp_path: Path) -> None:
    file = tmp_path / "refund-ledger.toml"
    file.write_text(MISTAKES)

    with pytest.raises(ConfigError) as caught:
        load(file, environ={})

    found = caught.value.problems
    assert [wanted for wanted in LINES if not any(line.startswith(wanted) for line in found)] == []
    assert all(len(line.splitlines()) == 1 for line in found)
    assert "not-to-be-shown" not in str(caught.value)
    assert "not hexadecimal" not in str(caught.value)


# The examples of the page --------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "sources" / "custom.md").read_text(encoding="utf-8")
EXAMPLES = [
    (tomllib.loads(toml)["sources"], json.loads(sample), sample)
    for toml, sample in re.findall(r"```toml\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
]


def test_the_page_has_the_three_examples() -> None:
    assert [[*told] for told, _, _ in EXAMPLES] == [["paytrace"], ["acceptblue"], ["globalpayments"]]


@pytest.mark.parametrize(("told", "sample", "text"), EXAMPLES, ids=[next(iter(told)) for told, _, _ in EXAMPLES])
def test_each_example_of_the_page_reads_its_sample(told: dict[str, Any], sample: Any, text: str) -> None:
    [(name, table)] = told.items()
    made = Custom(name, CustomSettings.model_validate(table))
    raw = text.encode()
    headers = (hash_headers if name == "globalpayments" else hmac_headers)(table, raw)

    assert made.authentic(Delivery(headers, raw, LATER))
    assert not made.authentic(Delivery(headers, raw + b" ", LATER))
    [message] = made.messages(Delivery(headers, raw, LATER))
    assert message.verdict == "used"
    [fact] = made.interpret(Event(1, name, str(message.key), message.type, raw, LATER))
    assert isinstance(fact, RefundFact)
    assert (fact.kind, fact.status, fact.amount, fact.currency) == ("refund", "succeeded", 1250, "USD")
    assert (fact.order_refs, fact.at, len(fact.payment_ids)) == (("1001",), AT, 1)


def test_the_signature_that_the_page_gives_for_stripe_is_stripes() -> None:
    [told] = re.findall(r"Stripe uses would be\n`(.*?)`", PAGE)
    made = source(signature=tomllib.loads(f"signature = {told}")["signature"], webhook_secrets=["whsec_test_secret"])
    # Made with stripe 16.1.0, WebhookSignature.generate_signature_header.
    header = "t=1492774577,v1=88a022085c6bdb887b02cb26ff76dd681234d9675c0f22844059f55552a8883a"
    raw = b'{"id":"evt_test_webhook","object":"event"}'

    assert made.authentic(Delivery({"stripe-signature": header}, raw, 1492774577 * SECOND))
    assert not made.authentic(Delivery({"stripe-signature": header}, raw, (1492774577 + 301) * SECOND))
