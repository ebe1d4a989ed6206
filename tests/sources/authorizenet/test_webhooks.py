"""Authorize.net's webhooks: who sent them, which are used, what they say."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from ledger.facts import Fact, PaymentFact, RefundFact, RefundStatus
from ledger.instants import from_rfc3339
from sources.authorizenet import AuthorizeNet, AuthorizeNetSettings
from sources.base import Delivery, Event, Message, NotUnderstood
from tests.fakes.authorizenet import SIGNATURE_KEY, notification, signed

# A real delivery of 2017 with its key, published in Authorize.net's developer forum.
PUBLISHED_KEY = (
    "2679A5D5785C9B26CF921E1754765CDDB265C9C88400786923E5343B315954FAFB4B7BF608818F6A21766741E8637DC206F286C725908C777"
    "ED4127D8562163D"
)
PUBLISHED_BODY = (
    b'{"notificationId":"f813b98f-3552-4eeb-ba40-acb4704eeba3","eventType":"net.authorize.payment.authcapture.created",'
    b'"eventDate":"2017-03-08T17:35:37.155999Z","webhookId":"63d6fea2-aa13-4b1d-a204-f5fbc15942b7","payload":{"response'
    b'Code":1,"authCode":"8VTPDC","avsResponse":"Y","authAmount":10.00,"entityName":"transaction","id":"60019392075"}}'
)
PUBLISHED_HEADER = (
    "sha512=9607C69D2734514554CE13D923D19939563F2FD6567D239F49F0DF0D08865632A0FB98061B4620CC52C47BB8BF6E2B69A15A67E4C98"
    "E81D7D65111076C515C6A"
)

AT = from_rfc3339("2026-11-02T15:04:05Z")
BODY = notification("refund", {"responseCode": 1, "authAmount": 25, "id": "60020981690"}, AT)


def source(*secrets: str, **settings: object) -> AuthorizeNet:
    told = {"kind": "authorizenet", "webhook_secrets": secrets or (SIGNATURE_KEY,)}
    return AuthorizeNet("anet", AuthorizeNetSettings.model_validate(told | settings))


ANET = source()
POLLED = source(api_login_id="login", transaction_key="key")


def arrived(body: bytes = BODY, header: str | None = None) -> Delivery:
    headers = signed(body) if header is None else {"x-anet-signature": header}
    return Delivery(headers, body, 0)


def told(what: str, asked: AuthorizeNet = ANET, **payload: object) -> list[Fact]:
    standing = {"responseCode": 1, "authAmount": 25.5, "id": "60020981690"} | payload
    body = notification(what, {name: value for name, value in standing.items() if value is not None}, AT)
    [message] = asked.messages(arrived(body))
    return asked.interpret(Event(1, "anet", str(message.key), message.type, body, AT))


# Signatures ----------------------------------------------------------------------------------------------------------


def test_a_published_delivery_is_authentic_with_the_key_as_text_only() -> None:
    delivery = arrived(PUBLISHED_BODY, PUBLISHED_HEADER)

    assert source(PUBLISHED_KEY).authentic(delivery)
    assert not source(PUBLISHED_KEY.lower()).authentic(delivery)
    assert not source(PUBLISHED_KEY, signature_key_format="hex").authentic(delivery)
    assert not source(PUBLISHED_KEY).authentic(arrived(PUBLISHED_BODY + b" ", PUBLISHED_HEADER))


def test_a_key_that_is_hexadecimal_is_decoded_where_the_setting_says_so() -> None:
    header = "sha512=" + hmac.digest(bytes.fromhex(SIGNATURE_KEY), BODY, hashlib.sha512).hex()

    assert source(signature_key_format="hex").authentic(arrived(BODY, header))
    assert not source().authentic(arrived(BODY, header))


def test_any_of_the_keys_may_sign_while_they_rotate() -> None:
    header = signed(BODY, "new")["x-anet-signature"]

    assert source("old", "new").authentic(arrived(BODY, header))
    assert not source("old").authentic(arrived(BODY, header))


def test_letters_of_the_signature_may_be_of_either_case() -> None:
    header = signed(BODY)["x-anet-signature"]

    assert ANET.authentic(arrived(BODY, header.lower()))
    assert ANET.authentic(arrived(BODY, f" {header.upper()} "))


RIGHT = signed(BODY)["x-anet-signature"]
WRONG = [
    "",
    "sha512",
    "sha512=",
    RIGHT[7:],
    RIGHT[:-1],
    RIGHT + "0",
    RIGHT[:-1] + "G",
    RIGHT.replace("sha512", "sha256"),
    f"{RIGHT},{RIGHT}",
    f"\u017f{RIGHT[1:]}",
    "sha512=" + "\xb2" * 128,
    "sha512=" + "0" * 128,
    "\xff" * 1000,
]


@pytest.mark.parametrize("header", WRONG, ids=range(len(WRONG)))
def test_every_other_header_is_refused_and_none_raises(header: str) -> None:
    assert not ANET.authentic(arrived(BODY, header))


def test_no_header_is_refused_and_age_is_not_looked_at() -> None:
    assert not ANET.authentic(Delivery({}, BODY, 0))
    assert ANET.authentic(Delivery(signed(BODY), BODY, AT + 9 * 86_400_000_000))


# Messages ------------------------------------------------------------------------------------------------------------


def test_the_identity_of_a_delivery_is_its_notification_id_also_behind_a_byte_order_mark() -> None:
    key = json.loads(BODY)["notificationId"]
    marked = b"\xef\xbb\xbf" + BODY

    assert ANET.messages(arrived()) == [Message(key, "net.authorize.payment.refund.created", BODY, "used")]
    assert ANET.messages(arrived(marked)) == [Message(key, "net.authorize.payment.refund.created", marked, "used")]


@pytest.mark.parametrize(
    "changes",
    [
        {"eventType": "net.authorize.payment.fraud.declined"},
        {"eventType": "net.authorize.payment.priorauthcapture.created"},
        {"eventType": "net.authorize.payment.refund.created.x"},
        {"eventType": "api.transaction"},
        {"eventType": "net.authorize.customer.created", "payload": None},
        {"payload": {"id": "0", "responseCode": 1}},
        {"payload": {"id": 0}},
    ],
)
def test_other_events_and_those_of_test_mode_are_ignored(changes: dict[str, Any]) -> None:
    body = json.dumps(json.loads(BODY) | changes).encode()

    assert [m.verdict for m in ANET.messages(arrived(body))] == ["ignored"]


MALFORMED = [b"", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"notificationId":"1"}', b'{"eventType":"x"}']
MALFORMED += [
    json.dumps(json.loads(BODY) | changes).encode()
    for changes in (
        {"notificationId": None},
        {"notificationId": "\0"},
        {"notificationId": "x" * 256},
        {"eventType": 1.5},
    )
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_has_no_identity_is_set_aside_by_its_hash(body: bytes) -> None:
    [message] = ANET.messages(arrived(body))

    assert message.verdict == "malformed"
    assert str(message.key).startswith("sha256:")
    with pytest.raises(NotUnderstood):
        ANET.interpret(Event(1, "anet", str(message.key), "", body, 0))


# What they say -------------------------------------------------------------------------------------------------------


def refund(status: RefundStatus, payment_ids: tuple[str, ...] = (), order_refs: tuple[str, ...] = ()) -> RefundFact:
    at = AT + 123_456
    return RefundFact("anet", "60020981690", "refund", status, 2550, "USD", at, at, payment_ids, order_refs)


@pytest.mark.parametrize(
    ("code", "webhook_only", "polled"),
    [(1, "succeeded", "pending"), (2, "failed", "failed"), (3, "failed", "failed"), (4, "pending", "pending")],
)
def test_an_approved_refund_has_succeeded_only_where_nobody_can_ask_how_it_settles(
    code: int, webhook_only: RefundStatus, polled: RefundStatus
) -> None:
    assert told("refund", responseCode=code) == [refund(webhook_only)]
    assert told("refund", POLLED, responseCode=code) == [refund(polled)]


def test_with_polling_switched_off_nobody_can_ask() -> None:
    off = source(api_login_id="login", transaction_key="key", poll_interval="off")

    assert not off.askable
    assert told("refund", off) == [refund("succeeded")]


def test_a_refund_tells_its_order_and_its_payment_where_they_are_told() -> None:
    facts = told("refund", invoiceNumber=" 104233 ", refTransId="60020981680")

    assert facts == [refund("succeeded", order_refs=("104233",), payment_ids=("60020981680",))]


def test_the_currency_is_the_accounts() -> None:
    [fact] = told("refund", source(currency="JPY"), authAmount=25)
    assert isinstance(fact, RefundFact)
    assert (fact.amount, fact.currency) == (25, "JPY")


def test_a_void_has_the_id_of_what_it_voids() -> None:
    [fact] = told("void")
    assert isinstance(fact, RefundFact)

    assert fact == replace(refund("succeeded"), kind="void", payment_ids=("60020981690",))


def test_a_void_without_an_amount_takes_it_from_what_is_known_of_the_payment() -> None:
    [fact] = told("void", authAmount=None)
    assert isinstance(fact, RefundFact)
    assert fact.amount == 0


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_a_void_that_was_not_approved_changed_nothing(code: int) -> None:
    assert told("void", responseCode=code) == []


@pytest.mark.parametrize(
    ("what", "code", "authorised", "captured"),
    [
        ("authorization", 1, 2550, 0),
        ("authcapture", 1, None, 2550),
        ("capture", 1, None, 2550),
        ("priorAuthCapture", 1, None, 2550),
        ("authcapture", 2, None, 0),
        ("capture", 3, None, 0),
        ("authcapture", 4, None, None),
        ("authcapture", 0, None, None),
    ],
)
def test_a_payment_tells_what_was_captured(what: str, code: int, authorised: int | None, captured: int | None) -> None:
    facts = told(what, responseCode=code, invoiceNumber="104233")

    ids = ("60020981690",)
    assert facts == [
        PaymentFact("anet", ids, AT + 123_456, "USD", authorised, captured, order_refs=("104233",)),
    ]


def test_a_payment_without_an_amount_is_still_a_payment() -> None:
    [fact] = told("authcapture", authAmount=None)
    assert isinstance(fact, PaymentFact)
    assert fact.captured is None


HOSTILE: list[dict[str, Any]] = [
    {"id": None},
    {"id": {}},
    {"id": "a\0"},
    {"authAmount": None},
    {"authAmount": "1e999999999"},
    {"authAmount": -1},
    {"authAmount": 25.505},
    {"authAmount": True},
    {"authAmount": 10**30},
    {"responseCode": None},
    {"responseCode": 0},
    {"responseCode": 5},
    {"responseCode": "approved"},
    {"responseCode": []},
]


@pytest.mark.parametrize("payload", HOSTILE, ids=str)
def test_a_refund_that_cannot_be_read_is_not_understood(payload: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        told("refund", **payload)


@pytest.mark.parametrize(
    "changes", [{"eventDate": None}, {"eventDate": "soon"}, {"payload": []}, {"payload": None}, {"eventType": "other"}]
)
def test_a_notification_that_cannot_be_read_is_not_understood(changes: dict[str, Any]) -> None:
    body = json.dumps(json.loads(BODY) | changes).encode()

    with pytest.raises(NotUnderstood):
        ANET.interpret(Event(1, "anet", "1", "", body, 0))


def test_a_time_without_a_zone_is_utc() -> None:
    body = json.dumps(json.loads(BODY) | {"eventDate": "2026-11-02T15:04:05.123"}).encode()
    [fact] = ANET.interpret(Event(1, "anet", "1", "", body, 0))

    assert isinstance(fact, RefundFact)
    assert fact.at == AT + 123_000


@pytest.mark.parametrize(
    ("what", "questions"), [("refund", ["refund:7"]), ("void", ["payment:7"]), ("authcapture", []), ("capture", [])]
)
def test_only_the_details_tell_what_is_behind_a_refund_or_a_void(what: str, questions: list[str]) -> None:
    body = notification(what, {"responseCode": 1, "id": "7"}, AT)

    assert ANET.questions(Event(1, "anet", "1", "", body, 0), []) == questions


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"webhook_secrets": []}, "webhook_secrets"),
        ({"webhook_secrets": [" "]}, "empty"),
        ({"api_login_id": "login"}, "go together"),
        ({"transaction_key": "key"}, "go together"),
        ({"webhook_secrets": ["xyz"], "signature_key_format": "hex"}, "not hexadecimal"),
        ({"currency": "dollars"}, "currency"),
        ({"api_base": "https://api.authorize.net/rest/v1"}, "without /rest"),
        ({"api_base": "http://api.authorize.net"}, "https"),
        ({"transactionkey": "key"}, "transactionkey"),
    ],
)
def test_mistakes_of_the_configuration_are_named(settings: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        source(**settings)
