"""What is shown of an event's body."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.masking import KEY_MAX, SHOWN_MAX, VALUES_MAX, masked

SHOWN = [
    ("id", "re_3RkT5cD9XY02abcD1"),
    ("status", "requires_action"),
    ("OrderStatus", "Partially Refunded"),
    ("created", "2026-11-20T10:00:00Z"),
    ("amount", 1250),
    ("amount", "12.50"),
    ("currency", "gbp"),
    ("livemode", False),
    ("reason", None),
    ("customer", "cus_123"),
    ("PaymentMethodSystemName", "Payments.Stripe"),
    ("transId", "60198765432"),
    ("OrderGuid", "3f2c9a1b-0000-4000-8000-aabbccddeeff"),
]
MASKED = [
    ("email", "ann@example.com"),
    ("reference", "ann@example.com"),
    ("FirstName", "Ann"),
    ("name", ""),
    ("note", "call"),
    ("reference", "Ann Bell"),
    ("phone", "02079460000"),
    ("contact", "Ann"),
    ("anything", "+442079460000"),
    ("number", "4242424242424242"),
    ("number", 4242424242424242),
    ("text", "paid-4242424242424242-today"),
    ("last4", "4242"),
    ("exp_month", 12),
    ("card", {"brand": "visa"}),
    ("billing_details", {"city": "London"}),
    ("shipTo", [{"zip": "EC1A 1BB"}]),
    ("customer", "Ann"),
    ("client_secret", "pi_1_secret_2"),
    ("receipt_url", "https://pay.stripe.com/receipts/x"),
    ("clientAddress", "Baker-Street"),
    ("remote", "81.2.69.142"),
    ("remote", "2a02:c7c:1234::1"),
    ("shopperReference", "ann"),
    ("first", "Ann"),
    ("tel", "02079460000"),
    ("clientIp", "81.2.69.142:443"),
    ("passport", "533401372"),
    ("account", "12345678"),
    ("number", "4242.4242.4242.4242"),
    ("number", "4242/4242/4242/4242"),
]


@pytest.mark.parametrize(("key", "value"), SHOWN)
def test_what_is_about_the_refund_is_shown(key: str, value: object) -> None:
    assert json.loads(masked(json.dumps({"data": [{key: value}]}).encode())) == {"data": [{key: value}]}


@pytest.mark.parametrize(("key", "value"), MASKED)
def test_what_is_about_the_card_or_the_customer_is_not(key: str, value: object) -> None:
    shown = json.loads(masked(json.dumps({"data": [{key: value}]}).encode()))["data"][0][key]
    assert str(shown).startswith("•••")


def test_a_key_may_be_what_has_to_be_hidden() -> None:
    assert "ann" not in masked(b'{"ann@example.com": 1, "4242424242424242": 2}')


WHOLE = [
    (b"", "The body is not kept any more."),
    (b"<xml/>", "This is not JSON; its 6 bytes are not shown."),
    (b"\xff", "This is not JSON; its 1 bytes are not shown."),
    (b"[" * 100_000, "This is not JSON; its 100,000 bytes are not shown."),
    (b"9" * 5_000, "This is not JSON; its 5,000 bytes are not shown."),
]


@pytest.mark.parametrize(("body", "shown"), WHOLE)
def test_what_cannot_be_shown_is_said_so(body: bytes, shown: str) -> None:
    assert masked(body) == shown


def test_a_large_or_deep_body_is_shown_in_part() -> None:
    assert len(masked(json.dumps(["x"] * 50_000).encode())) < SHOWN_MAX + 50
    assert "…" in masked(b"[" * 100 + b"]" * 100)


def test_of_a_body_with_very_many_values_or_a_very_long_key_only_a_part_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def judge(key: str, _: object) -> bool:
        judged.append(key)
        return False

    monkeypatch.setattr("console.masking._is_personal", judge)
    for many in ({str(i): 1 for i in range(50_000)}, [[i] for i in range(50_000)], {"exp" * 100_000: 1}):
        assert masked(json.dumps(many).encode()).endswith(("… the rest is not shown.", "}"))
    assert len(judged) <= 2 * VALUES_MAX + 10
    assert max(map(len, judged)) <= KEY_MAX


PAYLOADS = sorted((Path(__file__).parents[1] / "sources").glob("*payloads/*.json"))


@pytest.mark.parametrize("file", PAYLOADS, ids=lambda file: file.stem)
def test_no_address_or_card_of_a_genuine_payload_is_shown(file: Path) -> None:
    shown = masked(file.read_bytes())
    assert "@" not in shown
    assert "4242" not in shown


@given(
    st.recursive(
        st.text() | st.integers() | st.floats() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_the_body_is_it_is_shown_somehow(told: object) -> None:
    assert masked(json.dumps(told).encode())
