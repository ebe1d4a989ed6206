"""Who may speak as Stripe: our verifier by itself, and beside the one of the `stripe` package."""

import hmac
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from ledger.instants import SECOND
from sources.base import Delivery
from sources.stripe import Stripe, StripeSettings

NOW = 1_795_000_000
BODY = b'{"id":"evt_1"}'


def source(*secrets: str) -> Stripe:
    return Stripe("stripe", StripeSettings.model_validate({"kind": "stripe", "webhook_secrets": secrets}))


def sign(body: bytes, secret: str, at: int = NOW) -> str:
    return hmac.digest(secret.encode(), b"%d.%s" % (at, body), "sha256").hex()


def accepts(made: Stripe, header: str | None, body: bytes = BODY, now: int = NOW) -> bool:
    headers = {} if header is None else {"stripe-signature": header}
    return made.authentic(Delivery(headers, body, now * SECOND))


def test_a_signature_made_by_stripe_is_accepted() -> None:
    # Made with stripe 16.1.0, WebhookSignature.generate_signature_header.
    header = "t=1492774577,v1=88a022085c6bdb887b02cb26ff76dd681234d9675c0f22844059f55552a8883a"
    body = b'{"id":"evt_test_webhook","object":"event"}'

    assert accepts(source("whsec_test_secret"), header, body, 1492774577)
    assert not accepts(source("whsec_test_secret"), header, body + b" ", 1492774577)
    assert not accepts(source("whsec_other"), header, body, 1492774577)


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (300, True), (301, False), (-300, True), (-301, False), (-(10**9), False)]
)
def test_the_time_may_be_off_by_five_minutes_in_either_direction(seconds: int, *, accepted: bool) -> None:
    header = f"t={NOW},v1={sign(BODY, 'a')}"

    assert accepts(source("a"), header, now=NOW + seconds) is accepted


def test_each_of_several_secrets_is_good_while_they_rotate() -> None:
    made = source("old", "new")

    assert accepts(made, f"t={NOW},v1={sign(BODY, 'old')}")
    assert accepts(made, f"t={NOW},v1={sign(BODY, 'new')}")
    assert accepts(made, f"t={NOW},v1={sign(BODY, 'gone')},v1={sign(BODY, 'new')},v0=x")
    assert not accepts(made, f"t={NOW},v1={sign(BODY, 'gone')}")


def test_only_version_one_counts() -> None:
    assert not accepts(source("a"), f"t={NOW},v0={sign(BODY, 'a')}")


JUNK = [
    None,
    "",
    ",",
    "=",
    "t=",
    "v1=",
    "t=,v1=",
    f"t={NOW}",
    f"v1={sign(BODY, 'a')}",
    f"t=x,v1={sign(BODY, 'a')}",
    f"t=-{NOW},v1={sign(BODY, 'a')}",
    f"t={'9' * 5000},v1={sign(BODY, 'a')}",
    f"t=١٢٣,v1={sign(BODY, 'a')}",
    f"t={NOW},v1=\xe9",
    f"t={NOW},v1=\udcff€",
    f"t={NOW},v1={sign(BODY, 'a').upper()}",
    f"t={NOW},v1={sign(BODY, 'a')}0",
    "\x00" * 100,
]


@pytest.mark.parametrize("header", JUNK, ids=[ascii(header)[:30] for header in JUNK])
def test_junk_in_the_header_is_refused_and_never_raises(header: str | None) -> None:
    assert not accepts(source("a"), header)


@given(st.text() | st.text(alphabet="t=v1,0aé ", max_size=80), st.binary())
def test_any_header_and_body_are_refused_and_never_raise(header: str, body: bytes) -> None:
    assert not accepts(source("a"), header, body)


def package_accepts(header: str, body: bytes, secret: str) -> bool:
    """The package's verdict without its clock. It raises on what is not ASCII or not UTF-8: that is a no."""
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None))
    except (stripe.SignatureVerificationError, TypeError, UnicodeError):
        return False


PARTS: Any = st.sampled_from(
    [
        f"t={NOW}",
        f"t={NOW + 1}",
        "t=",
        f"v1={sign(BODY, 'a')}",
        f"v1={sign(BODY, 'b')}",
        f"v1={sign(BODY, 'a', NOW + 1)}",
        f"v0={sign(BODY, 'a')}",
        "v1=",
        "v1=é",
        "junk=1",
    ]
)


@given(st.lists(PARTS, max_size=5).map(",".join), st.sampled_from([BODY, BODY + b" "]), st.sampled_from("abc"))
def test_the_stripe_package_agrees_on_headers_of_all_kinds(header: str, body: bytes, secret: str) -> None:
    ours, theirs = accepts(source(secret), header, body), package_accepts(header, body, secret)

    # Where a part is not ASCII the package raises, unless one before it fits.
    assert ours == theirs or (ours and not header.isascii())


@given(st.text(min_size=1), st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_what_the_stripe_package_signs_is_accepted(text: str, secret: str) -> None:
    body = text.encode("utf-8", "replace")
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, NOW)

    assert accepts(source(secret), header, body)
    assert package_accepts(header, body, secret)
    assert not accepts(source(secret), header, body + b"x")
