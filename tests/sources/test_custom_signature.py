"""Who may speak as a gateway that is configured: each scheme, by itself and beside what is published."""
# ruff: noqa: ANN401 - settings have many types

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError
from standardwebhooks.webhooks import Webhook

from ledger.instants import SECOND
from sources.base import Delivery
from sources.custom_signature import Signature, Verifier

NOW = 1_795_000_000
BODY = b'{"type":"refund {timestamp}","body":"{body}"}'
KEY = b"\x00\x01key of the tests"


def verifier(*secrets: str, **settings: Any) -> Verifier:
    scheme: Signature = TypeAdapter(Signature).validate_python(settings)
    return scheme.verifier([SecretStr(secret) for secret in secrets])


def proves(verify: Verifier, headers: dict[str, str], body: bytes = BODY, now: int = NOW) -> bool:
    return verify(Delivery(headers, body, now * SECOND))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha256=", "HMAC "])
@pytest.mark.parametrize("key_format", ["text", "hex", "base64"])
def test_a_digest_over_the_body_in_every_form(algorithm: str, encoding: str, prefix: str, key_format: str) -> None:
    key = b"text" if key_format == "text" else KEY
    secret = {"text": "text", "hex": KEY.hex(), "base64": base64.b64encode(KEY).decode()}[key_format]
    digest = hmac.new(key, BODY, algorithm).digest()
    header = prefix + (digest.hex() if encoding == "hex" else base64.b64encode(digest).decode())
    form = {"header": "X-Sig", "algorithm": algorithm, "encoding": encoding, "prefix": prefix, "key_format": key_format}
    verify = verifier(secret, scheme="hmac", **form)

    assert proves(verify, {"x-sig": header})
    assert proves(verify, {"x-sig": f"{prefix}0000, {header}"})
    assert not proves(verify, {"x-sig": header}, BODY + b" ")
    assert not proves(verify, {"x-sig": header[:-1]})
    assert not proves(verify, {"other": header})
    assert not prefix or not proves(verify, {"x-sig": header.removeprefix(prefix)})


def test_hexadecimal_may_be_written_in_either_case() -> None:
    digest = hmac.new(b"a", BODY, "sha256").hexdigest()

    assert proves(verifier("a", scheme="hmac", header="X"), {"x": digest.upper()})


def test_a_plain_digest_has_the_secret_behind_the_body() -> None:
    verify = verifier("app key", scheme="hash", header="X-GP-Signature", algorithm="sha512")

    assert proves(verify, {"x-gp-signature": hashlib.sha512(BODY + b"app key").hexdigest()})
    assert not proves(verify, {"x-gp-signature": hmac.new(b"app key", BODY, "sha512").hexdigest()})
    assert not proves(verify, {"x-gp-signature": hashlib.sha512(BODY).hexdigest()})


@pytest.mark.parametrize("place", ["header", "prefix"])
@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize(("off", "accepted"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signed_time_may_be_off_by_the_tolerance(place: str, unit: int, off: int, *, accepted: bool) -> None:
    stamp = str(NOW * unit)
    digest = hmac.new(b"a", f"v0:{stamp}:".encode() + BODY, "sha256").hexdigest()
    form: dict[str, Any] = {"scheme": "hmac", "header": "X-Sig", "signed": "v0:{timestamp}:{body}", "prefix": "v0="}
    if place == "header":
        verify = verifier("a", **form, timestamp_header="X-Time")
        headers = {"x-sig": f"v0={digest}", "x-time": stamp}
    else:
        verify = verifier("a", **form, timestamp_prefix="t=")
        headers = {"x-sig": f"t={stamp},v0={digest}"}

    assert proves(verify, headers, now=NOW + off) is accepted
    moved = {name: value.replace(stamp, str(int(stamp) + 1)) for name, value in headers.items()}
    assert not proves(verify, moved, now=NOW + off)


@pytest.mark.parametrize("stamp", ["", "soon", "-1795000000", "1e9", "17950000001", "١٧٩٥٠٠٠٠٠٠", "{body}"])
def test_what_is_not_a_time_proves_nothing(stamp: str) -> None:
    verify = verifier("a", scheme="hmac", header="X", signed="{timestamp}.{body}", timestamp_header="T")
    digest = hmac.new(b"a", stamp.encode("utf-8") + b"." + BODY, "sha256").hexdigest()

    assert not proves(verify, {"x": digest, "t": stamp})
    assert not proves(verify, {"x": digest})


def test_each_of_several_secrets_is_good_while_they_rotate() -> None:
    verify = verifier("old", "new", scheme="hmac", header="X")

    for secret, accepted in (("old", True), ("new", True), ("gone", False)):
        digest = hmac.new(secret.encode(), BODY, "sha256").hexdigest()
        assert proves(verify, {"x": digest}) is accepted


def test_a_token_in_a_header() -> None:
    verify = verifier("one", "two", scheme="token", header="Authorization", prefix="Bearer ")

    assert proves(verify, {"authorization": "Bearer two"})
    assert proves(verify, {"authorization": " Bearer one "})
    for wrong in ("", "two", "Bearer", "Bearer three", "Bearer twoo", "\xff"):
        assert not proves(verify, {"authorization": wrong})
    assert not proves(verify, {"x-token": "Bearer two"})


def test_basic_is_proven_by_the_password() -> None:
    verify = verifier("pass:word", scheme="basic")

    for user in ("", "anybody"):
        assert proves(verify, {"authorization": f"Basic {base64.b64encode(f'{user}:pass:word'.encode()).decode()}"})
    for wrong in ("", "Basic", "Basic !", "Bearer pass:word", f"Basic {base64.b64encode(b'pass:word').decode()}"):
        assert not proves(verify, {"authorization": wrong})


# Standard Webhooks ---------------------------------------------------------------------------------------------------

# The vector of the standard's own test suite.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STAMP = 1614265330
SIGNED = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": MESSAGE, "webhook-timestamp": str(STAMP), "webhook-signature": SIGNATURE}


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_")])
def test_the_published_vector_of_standard_webhooks(secret: str) -> None:
    verify = verifier(secret, scheme="standard_webhooks")

    assert proves(verify, HEADERS, SIGNED, STAMP)
    assert proves(verify, HEADERS | {"webhook-signature": f"v1a,x v1,x junk {SIGNATURE}"}, SIGNED, STAMP + 300)
    assert not proves(verify, HEADERS, SIGNED, STAMP + 301)
    assert not proves(verify, HEADERS, SIGNED, STAMP - 301)
    assert not proves(verify, HEADERS, SIGNED + b" ", STAMP)
    for name, wrong in (("webhook-id", "msg_2"), ("webhook-timestamp", str(STAMP + 1)), ("webhook-signature", "v1,x")):
        assert not proves(verify, HEADERS | {name: wrong}, SIGNED, STAMP)
        assert not proves(verify, {n: v for n, v in HEADERS.items() if n != name}, SIGNED, STAMP)


def test_what_the_library_signs_and_verifies_now_is_accepted() -> None:
    made, now = Webhook(SECRET), int(time.time())
    headers = HEADERS | {"webhook-timestamp": str(now)}
    signature = hmac.digest(base64.b64decode(SECRET[6:]), f"{MESSAGE}.{now}.".encode() + SIGNED, "sha256")
    headers["webhook-signature"] = "v1," + base64.b64encode(signature).decode()

    made.verify(SIGNED, headers)  # it raises where it does not agree
    assert proves(verifier(SECRET, scheme="standard_webhooks"), headers, SIGNED, now)


@given(st.dictionaries(st.sampled_from([*HEADERS, "x", "t", "authorization"]), st.text()), st.binary())
def test_nothing_that_arrives_raises_or_is_accepted(headers: dict[str, str], body: bytes) -> None:
    for settings in (
        {"scheme": "hmac", "header": "X"},
        {"scheme": "hash", "header": "X", "encoding": "base64"},
        {"scheme": "hmac", "header": "X", "signed": "{timestamp}{body}", "timestamp_prefix": "t="},
        {"scheme": "standard_webhooks"},
        {"scheme": "token", "header": "Authorization"},
        {"scheme": "basic"},
    ):
        assert not proves(verifier(SECRET, **settings), headers | {"webhook-timestamp": str(NOW)}, body)


def test_a_body_that_is_no_text_is_refused_by_standard_webhooks() -> None:
    assert not proves(verifier(SECRET, scheme="standard_webhooks"), HEADERS, b"\xff", STAMP)


@pytest.mark.parametrize("settings", [{"scheme": "hmac"}, {"scheme": "token"}, {"scheme": "basic", "header": "X"}])
def test_a_scheme_wants_its_own_parts_and_no_others(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        verifier("a", **settings)


@pytest.mark.parametrize("prefix", ["keyid=1,sig=", " sha256="])
@pytest.mark.parametrize("name", ["prefix", "timestamp_prefix"])
def test_a_prefix_that_no_signature_can_have_is_found_at_start(name: str, prefix: str) -> None:
    with pytest.raises(ValidationError, match="has a comma or begins with a blank"):
        verifier("a", scheme="hmac", header="X", **{name: prefix})


def test_a_secret_of_standard_webhooks_that_was_not_copied_whole_is_found_at_start() -> None:
    with pytest.raises(ValueError, match="one is nothing but whsec_"):
        verifier("whsec_", scheme="standard_webhooks")
