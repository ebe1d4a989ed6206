"""Messages to customers, as an operator sees and tries them."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from storage.database import open_database
from sync.announce import notice_rules
from sync.work import settle
from tests.cli.harness import Ledger
from tests.fakes.smtp import CUT_OFF, FakeMailServer
from tests.sync.build import LATER, RULES, SOURCES, deliver, ledger, order, refund

NOTICE = """
[customer_notice]
smtp_host = "127.0.0.1"
smtp_port = {port}
smtp_security = "none"
sender = "Example Print <refunds@example.com>"
template_file = "message.txt"

[customer_notice.stores.shop]
brand = "The Shop"
"""


@pytest.fixture
def configured(tmp_path: Path) -> Ledger:
    """A ledger with a message of the shop's own."""
    made = Ledger(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    (tmp_path / "message.txt").write_text("Subject: $amount for $order\n\nHello,\n\nit is on its way.\n\n$brand\n")
    made.toml.write_text(made.toml.read_text() + NOTICE.format(port=1))
    return made


def run(made: Ledger, *arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["--config", str(made.toml), "notice", *arguments])
    assert done.exit_code == status, done.output
    return done


async def _refunded(made: Ledger) -> str:
    """An order with an address and one without, refunded; the id of the first one's entry."""
    async with open_database(made.url, "cli") as database:
        await deliver(database, order(1, CustomerEmail="ann@example.org"), refund(1), order(2))
        await deliver(database, refund(2, payment="pi_2", status="pending"))
        rules = await notice_rules(database, made.configuration, 1)
        await settle(database, SOURCES, RULES, lambda: LATER, rules)
        return next(e.id for e in (await ledger(database)).values() if e.order_id == "1001")


def test_a_sample_shows_the_message_of_the_shop(configured: Ledger) -> None:
    assert run(configured, "preview", "--sample", "--store", "shop").output == (
        "From: Example Print <refunds@example.com>\nTo: c…@example.com\nSubject: 12.50 GBP for 1001\n\n"
        "Hello,\n\nit is on its way.\n\nThe Shop\n"
    )
    assert run(configured, "preview", "--sample").output.endswith("\nExample Print\n")


def test_a_preview_shows_what_the_customer_of_an_entry_is_told(configured: Ledger) -> None:
    entry = asyncio.run(_refunded(configured))
    said = run(configured, "preview", entry[:8]).output
    assert "To: a…@example.org\nSubject: 15.00 GBP for 1001\n" in said
    assert "ann" not in said
    assert said.startswith("From: ")


def test_a_preview_says_why_a_customer_is_not_told(configured: Ledger) -> None:
    asyncio.run(_refunded(configured))

    async def other() -> str:
        async with open_database(configured.url, "cli") as database:
            return next(e.id for e in (await ledger(database)).values() if e.order_id == "1002" and e.gateway_refunds)

    said = run(configured, "preview", asyncio.run(other())).output
    assert "Not yet: the order tells no e-mail address that can be used.\n" in said
    assert "Not told: a refund of stripe, pending.\n" in said


def test_the_list_names_what_was_not_sent(configured: Ledger) -> None:
    assert run(configured, "list").output == "There are none.\n"
    asyncio.run(_refunded(configured))
    [waits] = json.loads(run(configured, "list", "--json").output)["notices"]
    assert (waits["refund_id"], waits["state"], waits["reason"]) == ("re_1", "waiting", None)
    assert "re_1" in run(configured, "list", "--all").output


def test_a_test_goes_through_the_mail_server(configured: Ledger) -> None:
    server = FakeMailServer()
    with server.serving() as port:
        text = configured.toml.read_text()
        configured.toml.write_text(text.replace("smtp_port = 1", f"smtp_port = {port}"))
        assert run(configured, "test", "--to", "you@example.com").output == "The mail server took it.\n"
    [sent] = server.messages
    assert (sent["To"], sent["Subject"]) == ("you@example.com", "12.50 GBP for 1001")


def test_a_test_that_fails_says_why(configured: Ledger) -> None:
    said = run(configured, "test", "--to", "you@example.com", status=1).output
    assert "It was not sent: the mail server cannot be reached: SMTPConnectError." in said


def test_a_test_of_which_nobody_can_tell_whether_it_was_sent_says_so(configured: Ledger) -> None:
    server = FakeMailServer()
    server.data.append(CUT_OFF)
    with server.serving() as port:
        text = configured.toml.read_text()
        configured.toml.write_text(text.replace("smtp_port = 1", f"smtp_port = {port}"))
        assert (
            "It may have been sent: the connection" in run(configured, "test", "--to", "a@b.example", status=1).output
        )


def test_check_logs_in_to_the_mail_server(configured: Ledger) -> None:
    def check(status: int) -> str:
        done = CliRunner().invoke(cli, ["--config", str(configured.toml), "check"])
        assert done.exit_code == status, done.output
        return " ".join(done.output.split())

    assert "✗ mail server at 127.0.0.1:1: the mail server cannot be reached: SMTPConnectError" in check(1)
    server = FakeMailServer()
    with server.serving() as port:
        text = configured.toml.read_text()
        configured.toml.write_text(text.replace("smtp_port = 1", f"smtp_port = {port}"))
        assert f"✓ mail server at 127.0.0.1:{port}: lets us in" in check(0)
    assert server.messages == []


def test_wrong_use_is_told(configured: Ledger, tmp_path: Path) -> None:
    assert "give an entry, or --sample" in run(configured, "preview", status=2).output
    assert "write an address" in run(configured, "test", "--to", "you", status=2).output
    (tmp_path / "message.txt").write_text("Subject: $amonut\n\nHello")
    said = run(configured, "preview", "--sample", status=2).output
    assert said == "customer_notice.template: $amonut stands for nothing; there are $amount, $brand, $date, $order\n"
    plain = Ledger(tmp_path, configured.url)
    assert "There is no [customer_notice]" in run(plain, "preview", "--sample", status=1).output
