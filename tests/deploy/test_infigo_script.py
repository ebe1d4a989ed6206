"""The storefront's script: its own tests, in Node; and from its posts through the real listener into the ledger."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

from storage.database import open_database
from tests.deploy.rules import program
from tests.listener.harness import TOKEN, configured, running, stored
from tests.sync.build import only_entry, refund, work_off

HERE = Path(__file__).parent / "infigo"
ORDER = {
    "Id": 1001,
    "OrderStatus": "Complete",
    "PaymentStatus": "Paid",
    "OrderTotal": 100.1,
    "CustomerCurrencyCode": "GBP",
    "PaymentMethodSystemName": "Payments.Stripe",
    "CaptureTransactionId": "pi_1",
    "CreatedOnUtc": "2025-03-01T00:00:00Z",
}


def node() -> str:
    """The program, or the test is skipped."""
    return program("node", "nodejs", target="node")


def test_the_script_does_what_its_own_tests_say() -> None:
    command = (node(), "--test", "--test-reporter=tap", HERE / "sender.test.mjs")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "# skipped 0" in done.stdout


class Shop:
    """A storefront with one order, whose script keeps its store in a file between the runs."""

    def __init__(self, folder: Path, port: int) -> None:
        self._file = folder / "storefront.json"
        self.order = dict(ORDER)
        self.config = {"url": f"http://127.0.0.1:{port}/webhooks/shop", "token": TOKEN}
        self._store: dict[str, str] = {}

    async def cron(self, minute: int, *, lost: bool = False, token: str = TOKEN) -> str:
        """One run at this minute after three; the last line of its log. `lost`: no answer arrives."""
        config = self.config | {"token": token}
        now = f"2025-03-01T03:{minute:02}:00Z"
        state: dict[str, Any] = {"config": config, "now": now, "orders": {1001: self.order}, "lost": lost}
        self._file.write_text(json.dumps(state | {"store": self._store}))
        command = (node(), HERE / "cron.mjs", self._file)
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(self._file.read_text())
        assert token not in json.dumps((told["log"], told["store"]))
        self._store = told["store"]
        line: str = told["log"][-1]
        return line


async def test_a_refund_ends_in_the_ledger_though_its_answer_was_lost_and_it_came_twice(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with running(configured(sqlite_url)) as front:
        shop = Shop(tmp_path, front.port)
        assert "first run, 0 orders noted" in await shop.cron(0)
        shop.order["PaymentStatus"] = "Refunded"
        assert await shop.cron(5, lost=True) == "Info refund-ledger: 1 changes noticed, 0 sent, 1 wait"
        assert await shop.cron(10) == "Info refund-ledger: 0 changes noticed, 1 sent, 0 wait"
        assert await front.count("shop", "accepted") == 1
        assert await front.count("shop", "duplicate") == 1
        assert (await front.stripe(refund(amount=100_10).body)).json() == {"status": "accepted"}

    async with open_database(sqlite_url, "cli") as database:
        await work_off(database)
        entry = await only_entry(database)
    assert (entry.status, entry.order_id, entry.verified) == ("matched", "1001", False)
    assert [(member.amount, member.at) for member in entry.storefront_refunds] == [(100_10, 1740798300_000000)]


async def test_a_wrong_token_is_said_and_the_refund_is_told_once_it_is_right(sqlite_url: str, tmp_path: Path) -> None:
    async with running(configured(sqlite_url)) as front:
        shop = Shop(tmp_path, front.port)
        await shop.cron(0)
        shop.order["OrderStatus"] = "Cancelled"
        assert "0 sent, 1 wait" in await shop.cron(5, token="a-token-that-is-wrong")
        assert await front.count("shop", "unauthenticated") == 1
        assert "1 sent, 0 wait" in await shop.cron(10)
    [row] = await stored(sqlite_url)
    assert json.loads(row.body)["occurred_at"] == "2025-03-01T03:05:00.000Z"
