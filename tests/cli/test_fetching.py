"""`backfill`, `verify`, `sources`, and what `check` says of our endpoints: the real script against the fakes."""

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from ledger.instants import DAY
from sources.stripe import SNAPSHOTS
from tests.cli.harness import SCRIPT, Ledger
from tests.fakes import infigo, stripe
from tests.fakes.faults import answer
from tests.fakes.infigo import FakeInfigo
from tests.fakes.stripe import FakeStripe

REFUNDS = 12
TRIES = 600


class Asked:
    """A ledger, and the Stripe and the shop that it can ask; refunds of the last days that no webhook told of."""

    def __init__(self, folder: Path, database_url: str, stripe_base: str, shop_base: str, fake: FakeStripe) -> None:
        self.stripe = fake
        self.ledger = Ledger(folder, database_url)
        text = self.ledger.toml.read_text()
        keys = f'api_key = "{stripe.KEY}"\napi_base = "{stripe_base}"\nlivemode = false\nrequests_per_second = 20\n'
        text = text.replace("webhook_secrets =", f"{keys}webhook_secrets =", 1)
        keys = f'api_token = "{infigo.TOKEN}"\napi_base = "{shop_base}"\n'
        self.ledger.toml.write_text(text.replace("webhook_token =", f"{keys}webhook_token =", 1))

    def process(self, *arguments: str, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        command = [str(SCRIPT), "--config", str(self.ledger.toml), *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)

    def entries(self) -> list[Any]:
        found: list[Any] = json.loads(self.ledger.run("entries", "--limit", "1000", "--json").stdout)["entries"]
        return found

    def drift(self, status: int) -> list[tuple[str, str, list[str]]]:
        done = self.ledger.run("verify", "--source", "stripe", "--since", "217h", "--json", status=status)
        return sorted((d["id"], d["drift"], d["fields"]) for d in json.loads(done.stdout)["drift"])


@contextmanager
def asking(folder: Path, database_url: str) -> Iterator[Asked]:
    now = time.time_ns() // 1000
    fake, shop = FakeStripe(now - 8 * DAY), FakeInfigo(now - 8 * DAY)
    for number in range(REFUNDS):
        charge = fake.pay(100_00, metadata={"order_id": str(1000 + number)})
        shop.place(str(1000 + number), "100.00", fake.find(charge)["payment_intent"])
        fake.refund(charge, 40_00)
        shop.refund(str(1000 + number), "40.00")
        fake.now += DAY // 2
    fake.now = shop.now = now
    with fake.serving() as base, shop.serving() as shop_base:
        yield Asked(folder, database_url, base, shop_base, fake)


@pytest.fixture
def asked(sqlite_url: str, tmp_path: Path) -> Iterator[Asked]:
    with asking(tmp_path, sqlite_url) as made:
        yield made


async def test_a_dry_run_says_what_would_be_new_and_writes_nothing(asked: Asked) -> None:
    dry = json.loads(
        asked.ledger.run("backfill", "--source", "stripe", "--since", "217h", "--dry-run", "--json").stdout
    )
    await asked.ledger.settle()
    assert asked.entries() == []

    real = json.loads(asked.ledger.run("backfill", "--source", "stripe", "--since", "217h", "--json").stdout)
    assert dry == real | {"dry_run": True, "new": dry["new"]}
    # A dry run cannot know what its own events would have told.
    assert dry["new"] == real["new"] + REFUNDS == 5 * REFUNDS
    await asked.ledger.settle()
    assert len(asked.entries()) == REFUNDS
    again = asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")
    assert ", 0 were new." in again.stdout
    assert "windows" in again.stderr


async def test_a_backfill_that_is_killed_goes_on_where_it_stood(asked: Asked) -> None:
    dry = asked.ledger.run("backfill", "--source", "stripe", "--since", "217h", "--dry-run", "--json").stdout
    asked.stripe.queries.clear()
    asked.stripe.per_second = 25  # a fifth more than we are configured for: the network bunches calls together
    process = asked.process("backfill", "--source", "stripe", "--since", "217h", stderr=subprocess.DEVNULL)
    wait_until(lambda: len(asked.stripe.queries) >= 6)
    process.kill()
    process.wait()
    before = len(asked.stripe.queries)

    done = asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")

    assert "went on" in done.stdout
    after = len(asked.stripe.queries) - before
    # One window may be asked for twice: the one that was on its way.
    assert before + after - json.loads(dry)["windows"] in (0, 1)
    assert asked.stripe.refused == 0
    await asked.ledger.settle()
    assert len(asked.entries()) == REFUNDS


def test_a_terminal_sees_a_bar_with_count_and_estimate(asked: Asked) -> None:
    ours, theirs = pty.openpty()
    process = asked.process("backfill", "--source", "stripe", "--since", "217h", stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait() == 0
    assert b"100 %" in seen
    assert b"60 fetched" in seen


async def test_verify_tells_missing_extra_and_different(asked: Asked) -> None:
    assert {drift for _, drift, _ in asked.drift(status=3)} == {"missing"}
    asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")
    await asked.ledger.settle()
    assert asked.drift(status=0) == []

    first, second, third = (r["id"] for r in [e["data"]["object"] for e in asked.stripe.events("refund.created")][:3])
    asked.stripe.find(first)["status"] = "failed"
    asked.stripe.find(second)["amount"] = 41_00
    asked.stripe.find(third)["id"] = "re_other"
    found = asked.drift(status=3)
    assert found == [
        (first, "different", ["status"]),
        (second, "different", ["amount"]),
        (third, "extra", []),
        ("re_other", "missing", []),
    ]
    said = asked.ledger.run("verify", "--source", "stripe", "--since", "217h", status=3)
    assert "do not agree" in said.stdout
    assert "backfill" in said.stdout


async def test_verify_misses_no_refund_that_released_the_rest_of_a_part_capture(asked: Asked) -> None:
    asked.stripe.now -= DAY
    released = asked.stripe.capture(asked.stripe.pay(100_00, capture=False), 60_00)
    asked.stripe.now += DAY
    assert (released, "missing", []) in asked.drift(status=3)
    asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")
    await asked.ledger.settle()
    assert len(asked.entries()) == REFUNDS
    assert asked.drift(status=0) == []


def test_both_may_run_while_the_daemon_does(database_url: str, tmp_path: Path) -> None:
    with asking(tmp_path, database_url) as asked, (tmp_path / "sync.log").open("wb") as log:
        daemon = asked.process("sync", stderr=log)
        try:
            asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")
            wait_until(lambda: [e["status"] for e in asked.entries()] == ["matched"] * REFUNDS)
            assert asked.drift(status=0) == []
        finally:
            daemon.terminate()
            assert daemon.wait(30) == 0


def test_what_cannot_be_asked_is_told_in_one_sentence(asked: Asked) -> None:
    for command in ("backfill", "verify"):
        assert "none of" in asked.ledger.run(command, "--source", "nosuch", "--since", "217h", status=2).stderr
        assert "shop" in asked.ledger.run(command, "--source", "shop", "--since", "217h", status=2).stderr
        asked.stripe.faults.then(answer(401))
        said = asked.ledger.run(command, "--source", "stripe", "--since", "217h", status=1).stderr
        assert "credentials were refused" in said
        assert stripe.KEY not in said
    plain = Ledger(asked.ledger.toml.parent, asked.ledger.url)
    assert "cannot be asked" in plain.run("verify", "--source", "stripe", "--since", "217h", status=2).stderr


async def test_sources_are_listed_with_their_health(asked: Asked) -> None:
    stripe_state, shop_state = json.loads(asked.ledger.run("sources", "--json").stdout)["sources"]
    assert shop_state["endpoint_faults"] == []
    assert (stripe_state["last_event_at"], stripe_state["last_poll_at"]) == (None, None)
    [fault] = stripe_state["endpoint_faults"]
    assert "/webhooks/stripe" in fault
    asked.ledger.run("backfill", "--source", "stripe", "--since", "217h")
    said = asked.ledger.run("sources").stdout
    for text in ("/webhooks/stripe", "infigo", "storefront", "1 fault", "add one", time.strftime("%Y-", time.gmtime())):
        assert text in said


async def test_sources_tell_which_gateway_nobody_listens_to(empty: Ledger) -> None:
    order = {"Id": 7, "PaymentStatus": "Paid", "OrderTotal": "90.00", "CustomerCurrencyCode": "GBP",
             "PaymentMethodSystemName": "Payments.PayPal", "CaptureTransactionId": "8AB1"}  # fmt: skip
    refunded = {"PaymentStatus": "PartiallyRefunded", "RefundedAmount": "12.50"}
    bodies = [{"event": "order.changed", "id": str(n), "order": order | more} for n, more in enumerate(({}, refunded))]
    await empty.hear(("shop", json.dumps(body).encode()) for body in bodies)
    said = " ".join(empty.run("sources").stdout.split())
    assert "Orders of shop name Payments.PayPal, and no source is configured for it." in said
    assert "judged: 1, of 12.50 GBP." in said
    assert any("Payments.PayPal" in note for note in json.loads(empty.run("check", "--json").stdout)["notes"])
    told = json.loads(empty.run("sources", "--json").stdout)["unconfigured"]
    assert told == [{"store": "shop", "method": "Payments.PayPal", "currency": "GBP", "count": 1, "amount": "12.50"}]


def test_check_says_what_is_wrong_with_an_endpoint(asked: Asked) -> None:
    asked.stripe.register("https://refunds.example.com/webhooks/stripe", enabled_events=SNAPSHOTS[1:])
    said = asked.ledger.run("check", status=1).stdout
    assert "✗ stripe: the webhook endpoint is not subscribed to refund.created" in said
    assert "✓ shop: " in said
    asked.stripe.endpoints[0]["enabled_events"] = ["*"]
    assert "✗" not in asked.ledger.run("check").stdout
    asked.stripe.faults.then(answer(503))
    assert "its API cannot be asked" in asked.ledger.run("check", status=1).stdout


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(TRIES):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")
