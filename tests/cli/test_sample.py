"""`refund-ledger check --sample`: what a captured webhook would become."""

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from sources.base import NotReady
from sources.infigo import Infigo
from tests.fakes import adyen

CONFIGURATION = """\
database_url = "sqlite:////nowhere/ledger.db"
max_body = "4KiB"

[sources.gate]
kind = "custom"
webhook_secrets = ["secret-of-the-tests"]
signature = { scheme = "hmac", header = "X-Sig", signed = "{timestamp}.{body}", timestamp_header = "X-Time" }
type = { path = "type", values = { refund = "refund" } }
refund_id = "id"
amount = { path = "amount", form = "decimal" }
currency = { fixed = "JPY" }

[sources.stripe]
kind = "stripe"
webhook_secrets = ["whsec_of_the_tests"]

[sources.adyen]
kind = "adyen"
webhook_secrets = ["HMAC-KEY"]

[sources.asked]
kind = "cybersource"
merchant_id = "m"
key_id = "k"
shared_secret = "c2VjcmV0"

[sources.shop]
kind = "infigo"
webhook_token = "shop-token-of-the-tests"
api_base = "https://print.example.com/store/services/api"
api_token = "t"
"""
REFUND = b'{"type":"refund","id":"r1","amount":"1250","customer":"ann@example.com"}'


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "refund-ledger.toml"
    file.write_text(CONFIGURATION.replace("HMAC-KEY", adyen.KEY))
    return file


def check(toml: Path, body: bytes, *arguments: str, status: int = 0) -> Result:
    file = toml.with_name("sample.json")
    file.write_bytes(body)
    done = CliRunner().invoke(cli, ["--config", str(toml), "check", "--sample", str(file), *arguments])
    assert done.exit_code == status, done.output
    # It looks, and touches nothing.
    assert sorted(path.name for path in toml.parent.iterdir()) == ["refund-ledger.toml", "sample.json"]
    return done


def as_json(toml: Path, body: bytes, *arguments: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(check(toml, body, *arguments, "--json", status=status).stdout)
    return found


def signed(body: bytes, at: int) -> list[str]:
    digest = hmac.digest(b"secret-of-the-tests", b"%d." % at + body, "sha256").hex()
    return ["--header", f"X-Sig: {digest}", "--header", f"X-Time:{at}"]


def test_it_shows_identity_facts_and_that_the_signature_holds(toml: Path) -> None:
    said = check(toml, REFUND, "--source", "gate", *signed(REFUND, 1795000000), "--at", "2026-11-18T11:06:40Z").stdout

    for text in ("Source gate (custom)", "signature  holds", "sha256:", "Event refund, used", "r1", "1250", "JPY"):
        assert text in said
    assert "ann@example.com" not in said


def test_as_json(toml: Path) -> None:
    found = as_json(toml, REFUND, "--source", "gate", "--at", "2026-11-18T11:06:40Z")

    assert (found["source"], found["kind"], found["authentic"]) == ("gate", "custom", None)
    [message] = found["messages"]
    assert (message["type"], message["verdict"], message["reason"], message["asks"]) == ("refund", "used", None, [])
    assert message["facts"] == [
        {
            "fact": "refund",
            "source": "gate",
            "id": "r1",
            "kind": "refund",
            "status": "succeeded",
            "amount": "1250",
            "currency": "JPY",
            "at": "2026-11-18T11:06:40Z",
            "as_of": "2026-11-18T11:06:40Z",
            "payment_ids": [],
            "order_refs": [],
        }
    ]


def test_a_signature_that_does_not_hold_fails(toml: Path) -> None:
    stale = signed(REFUND, 1795000000)

    assert "does not hold" in check(toml, REFUND, "--source", "gate", *stale, status=1).stdout
    assert as_json(toml, REFUND + b"\n", "--source", "gate", *stale, status=1)["authentic"] is False


def test_what_would_be_set_aside_fails_with_the_reason(toml: Path) -> None:
    said = check(toml, REFUND.replace(b'"1250"', b'"12.50"'), "--source", "gate", status=1).stdout
    assert "amount has more decimals than JPY allows" in said
    assert "the body is not JSON" in check(toml, b"refund", "--source", "gate", status=1).stdout
    assert "there is no type at type" in check(toml, b"{}", "--source", "gate", status=1).stdout


def test_what_would_be_ignored_is_said(toml: Path) -> None:
    said = check(toml, b'{"type":"payment"}', "--source", "gate").stdout
    assert "Event payment, ignored" in said
    assert "It holds no event" in check(toml, b"[]", "--source", "gate").stdout


def test_a_proof_inside_the_body_needs_no_header(toml: Path) -> None:
    found = as_json(toml, adyen.notification(adyen.item("REFUND"), adyen.item("REFUND_FAILED")), "--source", "adyen")

    assert found["authentic"] is True
    assert [fact["status"] for message in found["messages"] for fact in message["facts"]] == ["succeeded", "failed"]


def test_what_only_points_at_an_order_says_what_would_be_asked(toml: Path) -> None:
    envelope = b'{"webhook":{"entity":"Order"},"data":{"Id":1001}}'
    said = check(toml, envelope, "--source", "shop", "--header", "X-Webhook-Token: shop-token-of-the-tests").stdout

    assert "holds" in said
    assert "order:1001" in said
    assert "nothing by itself" in said


def test_wrong_use_is_told(toml: Path) -> None:
    assert "choose one of gate, stripe, adyen, asked, shop" in check(toml, REFUND, status=2).output
    assert "'nosuch' is none of gate" in check(toml, REFUND, "--source", "nosuch", status=2).output
    assert "write a header as it was sent" in check(toml, REFUND, "--source", "gate", "--header", "x", status=2).output
    assert "larger than max_body" in check(toml, b" " * 5000, "--source", "gate", status=1).output
    alone = CliRunner().invoke(cli, ["--config", str(toml), "check", "--source", "gate"])
    assert alone.exit_code == 2
    assert "go with --sample" in alone.output


def test_the_only_source_need_not_be_named(toml: Path) -> None:
    toml.write_text('[sources.stripe]\nkind = "stripe"\nwebhook_secrets = ["a"]\n')

    assert as_json(toml, b"{}", status=1)["source"] == "stripe"


def test_a_signature_that_cannot_be_checked_now_is_told(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare(*_: object) -> None:
        raise NotReady("the certificate cannot be fetched")

    monkeypatch.setattr(Infigo, "prepare", prepare)

    said = check(toml, b"{}", "--source", "shop", status=1).output
    assert "The signature cannot be checked now: the certificate cannot be fetched." in said


def test_a_source_that_is_polled_takes_no_webhook(toml: Path) -> None:
    done = check(toml, REFUND, "--source", "asked", status=1)

    assert "asked (cybersource) is polled: the listener takes no webhook from it." in done.stderr
