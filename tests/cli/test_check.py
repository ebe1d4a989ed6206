"""`refund-ledger check`, and what a wrong configuration comes to."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.harness import Ledger, run


def test_everything_in_place_is_said(empty: Ledger) -> None:
    said = empty.run("check").stdout
    for text in (
        "can be written",
        "POST https://your.host/webhooks/stripe",
        "refund.failed",
        "listener: does not answer",
    ):
        assert text in said


def test_secrets_are_blanked(empty: Ledger) -> None:
    for said in (empty.run("check").stdout, empty.run("check", "--json").stdout):
        assert "of-the-tests" not in said
        assert "of_the_tests" not in said


def test_a_switch_is_shown_as_it_is_written(empty: Ledger) -> None:
    assert re.search(r"livemode +true", empty.run("check").stdout)


def test_a_table_is_shown_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "refund-ledger.toml"
    file.write_text("""
[sources.paytrace]
kind = "custom"
webhook_secrets = ["a"]
signature = { scheme = "token", header = "x-token" }
type = { path = ["event", "action"], values = { "transaction.refund" = "refund" } }
refund_id = "id"
amount = { path = "amount", form = "decimal" }
currency = { path = "currency" }
""")
    said = run("--config", str(file), "check").stdout
    assert "scheme = token, header = x-token" in said
    assert "path = [event, action], values = { transaction.refund = refund }" in said


def test_the_findings_as_json(empty: Ledger) -> None:
    findings = json.loads(empty.run("check", "--json").stdout)
    assert findings["database"]["writable"] is True
    assert [source["webhook_path"] for source in findings["sources"]] == ["/webhooks/stripe", "/webhooks/shop"]
    assert [process["runs"] for process in findings["processes"]] == [False, False, False]


def test_a_database_that_does_not_work_fails(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "postgresql://postgres@127.0.0.1:1/none")
    assert "✗" in ledger.run("check", status=1).stdout
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "✗" in Ledger(tmp_path, f"sqlite:///{blocked}/ledger.db").run("check", status=1).stdout


def test_a_side_that_is_not_configured_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "refund-ledger.toml"
    file.write_text('[sources.stripe]\nkind = "stripe"\nwebhook_secrets = ["a"]\n')
    said = run("--config", str(file), "check").stdout
    assert "No storefront is configured" in said
    assert "No api_tokens" in said


def test_nothing_is_to_be_registered_where_a_gateway_is_only_polled(tmp_path: Path) -> None:
    file = tmp_path / "refund-ledger.toml"
    nobody = "http://127.0.0.1:1"
    own = f'vendor = "v"\nuser = "u"\npassword = "p"\napi_base = "{nobody}"'
    file.write_text(f'[sources.opayo]\nkind = "opayo"\n{own}\n')
    assert "to register" not in run("--config", str(file), "check", status=1).stdout  # nobody answers there


MISTAKES = """\
grace_period = "soon"
colour = "red"

[sources.stripe]
kind = "stripe"
webhook_secrets = [""]

[sources.shop]
kind = "infigo"
webhok_token = "not-to-be-shown"
"""


@pytest.mark.parametrize("command", ["check", "listener", "sync", "console", "entries", "migrate", "replay"])
def test_mistakes_are_told_one_line_each_with_status_2(command: str, tmp_path: Path) -> None:
    file = tmp_path / "refund-ledger.toml"
    file.write_text(MISTAKES)
    done = run("--config", str(file), command, status=2)
    assert done.stdout == ""
    keys = {line.split(":")[0].split(" = ")[0] for line in done.stderr.splitlines()}
    assert keys >= {"grace_period", "colour", "sources.shop.webhook_token", "sources.shop.webhok_token"}
    assert any(key.startswith("sources.stripe.webhook_secrets") for key in keys)
    assert "not-to-be-shown" not in done.stderr


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = run("--config", str(tmp_path / "nosuch.toml"), "entries", status=2).stderr
    assert "nosuch.toml" in said
    assert len(said.splitlines()) == 1
