"""Any value in any place of what Adyen, Checkout.com and Worldpay send: facts, or NotUnderstood, and nothing else."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.facts import DisputeFact, Fact, PaymentFact, RefundFact, decode, encode
from ledger.money import AMOUNT_MAX
from sources.base import Delivery, Event, NotUnderstood, Source
from tests.fakes import adyen, checkout, worldpay
from tests.sources.test_adyen import ADYEN
from tests.sources.test_checkout import CHECKOUT
from tests.sources.test_worldpay import WORLDPAY

SOURCES: dict[str, Source[Any]] = {"adyen": ADYEN, "checkout": CHECKOUT, "worldpay": WORLDPAY}
EVENTS = [
    *(("adyen", adyen.notification(adyen.item("AUTHORISATION"), adyen.item(code))) for code in ADYEN.used_events),
    *(("checkout", checkout.event(name)) for name in CHECKOUT.used_events if name.startswith("payment")),
    *(("checkout", checkout.dispute(name, "evt_1")) for name in CHECKOUT.used_events if name.startswith("dispute")),
    *(("worldpay", worldpay.event(name)) for name in WORLDPAY.used_events),
]
LATER = 10**16
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0", "a:b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def proof(name: str, body: bytes) -> dict[str, str]:
    """The headers of a delivery. Adyen's proof is in the body."""
    return {} if name == "adyen" else checkout.signed(body) | worldpay.signed(body)


def places(value: dict[str, Any] | list[Any]) -> Iterator[Callable[[Any], None]]:
    """A setter for every value inside."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield lambda new, key=key: value.__setitem__(key, new)  # type: ignore[misc]
        if isinstance(inner, dict | list):
            yield from places(inner)


def facts_of(name: str, body: bytes) -> list[Fact]:
    """What an authentic delivery says, item by item; what is not understood says nothing."""
    facts: list[Fact] = []
    for message in SOURCES[name].messages(Delivery({}, body, LATER)):
        assert message.key is not None
        assert message.key.isascii()
        assert 0 < len(message.key) <= 255
        try:
            said = SOURCES[name].interpret(Event(1, name, message.key, message.type, message.body, LATER))
        except NotUnderstood:
            continue
        assert message.verdict != "malformed"
        facts += said
    return facts


def amounts(fact: Fact) -> list[int]:
    if isinstance(fact, PaymentFact):
        return [amount for amount in (fact.authorised, fact.captured) if amount is not None]
    assert isinstance(fact, RefundFact | DisputeFact)
    return [fact.amount]


@given(st.sampled_from(EVENTS), st.data())
def test_any_value_in_any_place_gives_facts_or_is_not_understood(told: tuple[str, bytes], data: st.DataObject) -> None:
    name, payload = told[0], json.loads(told[1])
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(list(places(payload))))(data.draw(JUNK))
    body = json.dumps(payload).encode()

    assert SOURCES[name].authentic(Delivery(proof(name, body), body, LATER)) in (True, False)
    for fact in facts_of(name, body):
        text = encode(fact)
        assert decode(text) == fact
        assert "\\u0000" not in text
        assert all(0 <= amount <= AMOUNT_MAX for amount in amounts(fact))


@given(st.data())
def test_what_adyen_signed_is_what_is_believed_whatever_else_is_changed(data: st.DataObject) -> None:
    payload = json.loads(adyen.notification(adyen.item("REFUND")))
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(list(places(payload))))(data.draw(JUNK))
    body = json.dumps(payload).encode()

    if ADYEN.authentic(Delivery({}, body, LATER)):
        for fact in facts_of("adyen", body):
            assert isinstance(fact, RefundFact)
            assert (fact.id, fact.status, fact.amount, fact.currency, fact.payment_ids, fact.order_refs[0]) == (
                "REFUND0000000001",
                "succeeded",
                2500,
                "GBP",
                ("PAYMENT000000001",),
                "1001",
            )


@pytest.mark.parametrize("name", SOURCES)
@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(["cko-signature", "event-signature", "authorization"]),
                                                st.text(st.characters(max_codepoint=255))))  # fmt: skip
def test_any_bytes_and_headers_are_met_without_raising(name: str, body: bytes, headers: dict[str, str]) -> None:
    assert not SOURCES[name].authentic(Delivery(headers, body, LATER))
    assert SOURCES[name].messages(Delivery(headers, body, LATER))


HOSTILE = [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 10_000, b'{"id":' + b"9" * 10_000 + b"}", b"\xff\xfe{}", b"\0"]
HOSTILE += ['{"id":"1"}'.encode("utf-16"), b'{"notificationItems":' + b"[" * 100_000, b'{"notificationItems":[1e999]}']
HOSTILE += [b'{"notificationItems":[' + b"{}," * 2000 + b"{}]}", b'{"id":NaN}', b'{"id":1}{"id":2}']


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_deep_huge_and_wrongly_encoded_bodies_are_set_aside(name: str, body: bytes) -> None:
    source = SOURCES[name]
    source.authentic(Delivery(proof(name, body), body, LATER))
    [message] = source.messages(Delivery({}, body, LATER))[:1]

    assert message.verdict == "malformed"
    with pytest.raises(NotUnderstood):
        source.interpret(Event(1, name, "k", message.type, message.body, LATER))
