"""What went wrong elsewhere where webhooks were missed, and must not go wrong here: the real daemon asks fakes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.instants import DAY, SECOND
from ledger.present import entry_json
from storage.database import open_database
from storage.entries import entries_after
from tests.e2e.house import PAUSE_SECONDS, House, standing
from tests.fakes import infigo, stripe
from tests.fakes.faults import answer
from tests.fakes.infigo import FakeInfigo
from tests.fakes.stripe import FakeStripe

HOUR = 3600 * SECOND
LOOKS = 400
REFUND_EVENTS = {"refund.created", "refund.updated", "refund.failed", "charge.refunded"}
POLLED = 'poll_last_success_timestamp_seconds{source="stripe"}'.replace('"', "")


class Fakes:
    """Stripe and the shop; they send no webhooks. So long ago begins what they tell."""

    def __init__(self, ago: int) -> None:
        self.stripe, self.shop = FakeStripe(0), FakeInfigo(0)
        self.go_back(ago)

    def go_back(self, ago: int) -> None:
        """It is so long ago."""
        self.stripe.now = self.shop.now = time.time_ns() // 1000 - ago

    def paid(self, order: int) -> str:
        """An order, paid; the charge."""
        charge = self.stripe.pay(100_00, metadata={"order_id": str(order)})
        self.shop.place(str(order), "100.00", self.stripe.find(charge)["payment_intent"])
        return charge

    def refunded(self, order: int, status: str = "succeeded") -> str:
        """An order, paid, refunded and recorded so; the refund."""
        refund = self.stripe.refund(self.paid(order), 40_00, status)
        self.shop.refund(str(order), "40.00")
        return refund


class Asking(House):
    """A house whose sources can be asked."""

    def __init__(self, folder: Path, database_url: str, stripe_base: str, shop_base: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, database_url)
        keys = f'api_key = "{stripe.KEY}"\napi_base = "{stripe_base}"\nlivemode = false\npoll_interval = "1s"\n'
        text = self.toml.read_text().replace("webhook_secrets =", f"{keys}webhook_secrets =", 1)
        keys = f'api_token = "{infigo.TOKEN}"\napi_base = "{shop_base}"\n'
        self.toml.write_text(text.replace("webhook_token =", f"{keys}webhook_token =", 1))

    async def lines(self, order: int = 0) -> list[str]:
        """The ledger: status, reason, order and both amounts of each entry."""
        async with self.database.read() as conn:
            told = [entry_json(entry) for entry in await entries_after(conn, "", 1000)]
        names = ("status", "reason", "order_id", "gateway_amount", "storefront_amount")
        return sorted(" ".join(str(one[name]) for name in names if one[name] is not None) for one in told)

    async def until(self, *expected: str) -> None:
        """Wait until this is the ledger."""
        for _ in range(LOOKS):
            if (found := await self.lines()) == sorted(expected):
                return
            await asyncio.sleep(PAUSE_SECONDS)
        assert found == sorted(expected)

    async def leads(self) -> bool:
        """Whether it is this one that polls."""
        return POLLED in await self.metrics("sync")


@asynccontextmanager
async def asking(folder: Path, database_url: str, fakes: Fakes, houses: int = 1) -> AsyncIterator[list[Asking]]:
    """So many sync processes on one database."""
    built: list[Asking] = []
    with fakes.stripe.serving() as stripe_base, fakes.shop.serving() as shop_base:
        async with open_database(database_url, "cli") as database:
            try:
                for n in range(houses):
                    built.append(Asking(folder / str(n), database_url, stripe_base, shop_base))
                    standing.append(built[-1])
                    built[-1].database = database
                    await built[-1].start("sync")
                yield built
            finally:
                for one in built:
                    await one.close()
                    standing.remove(one)


async def test_a_success_that_nothing_tells_leaves_the_refund_pending(tmp_path: Path, sqlite_url: str) -> None:
    """mollie api-documentation #722: a webhook when a refund fails and none when it succeeds."""
    fakes = Fakes(HOUR)
    fakes.stripe.never_made = {"refund.updated"}
    refund = fakes.refunded(722, "pending")
    fakes.go_back(0)
    async with asking(tmp_path, sqlite_url, fakes) as [built]:
        await built.until("pending 722 40.00 40.00")
        fakes.stripe.becomes(refund, "succeeded")
        await built.until("matched 722 40.00 40.00")


async def test_refunds_are_lost_behind_a_cursor_over_events(tmp_path: Path, sqlite_url: str) -> None:
    """airbyte #32286: of some refunds no event comes, and the events' cursor passed them for ever."""
    fakes = Fakes(10 * DAY)
    fakes.stripe.never_made = REFUND_EVENTS
    fakes.refunded(3228)
    fakes.stripe.never_made = set()
    fakes.refunded(3229)
    fakes.go_back(0)
    async with asking(tmp_path, sqlite_url, fakes) as [built]:
        await built.until("matched 3228 40.00 40.00", "matched 3229 40.00 40.00")
        # And one that is made behind the cursor.
        fakes.stripe.never_made = REFUND_EVENTS
        fakes.go_back(HOUR)
        fakes.refunded(3230)
        fakes.go_back(0)
        await built.until(*(f"matched {order} 40.00 40.00" for order in (3228, 3229, 3230)))


async def test_a_run_that_failed_counts_as_done(tmp_path: Path, sqlite_url: str) -> None:
    """sync-engine-fork #189: a throttled run was marked as complete, and nothing was synced for seven days."""
    fakes = Fakes(5 * DAY)
    for order in range(1890, 1895):
        fakes.refunded(order)
        fakes.stripe.now += DAY // 2
    fakes.go_back(0)
    throttled = answer(429, "Request rate limit exceeded.", retry_after="1")
    fakes.stripe.faults.then(throttled, None, throttled, *[None] * 27, throttled)
    async with asking(tmp_path, sqlite_url, fakes) as [built]:
        await built.until(*(f"matched {order} 40.00 40.00" for order in range(1890, 1895)))
        assert (await built.metrics("sync"))["poll_errors_total{source=stripe}"] == 3


async def test_nothing_is_synced_after_downtime(tmp_path: Path, database_url: str) -> None:
    """sync-engine #111: what happened while the program was down was never fetched."""
    fakes = Fakes(3 * DAY)
    fakes.refunded(111)
    fakes.go_back(0)
    async with asking(tmp_path, database_url, fakes) as [built]:
        await built.until("matched 111 40.00 40.00")
        built.kill("sync")
        fakes.go_back(100 * SECOND)
        fakes.refunded(112)
        fakes.stripe.dispute(fakes.paid(113), 100_00)
        fakes.go_back(0)
        await built.start("sync")
        missing = "pending 113 100.00"  # within the grace period
        await built.until("matched 111 40.00 40.00", "matched 112 40.00 40.00", missing)


async def test_an_event_shows_in_the_list_after_younger_ones(tmp_path: Path, sqlite_url: str) -> None:
    """estuary #2731: the events list is eventually consistent, and what showed late was skipped."""
    fakes = Fakes(400 * SECOND)
    fakes.stripe.appears_after = 300 * SECOND
    fakes.stripe.dispute(fakes.paid(2731), 100_00)  # of a dispute only events tell
    # The list shows nothing of it yet, and the checkpoint passes it.
    fakes.stripe.now += 200 * SECOND
    async with asking(tmp_path, sqlite_url, fakes) as [built]:
        queries = fakes.stripe.queries
        for _ in range(LOOKS):
            if any(path == "/v1/refunds" for path, _, _ in queries) and await built.leads():
                break
            await asyncio.sleep(PAUSE_SECONDS)
        assert await built.lines() == []
        fakes.go_back(0)
        await built.until("pending 2731 100.00")


async def test_of_two_processes_one_polls_and_the_other_takes_over(tmp_path: Path, postgres_url: str) -> None:
    fakes = Fakes(DAY)
    fakes.refunded(1)
    fakes.go_back(0)
    async with asking(tmp_path, postgres_url, fakes, houses=2) as [first, second]:
        await first.until("matched 1 40.00 40.00")
        assert sorted([await first.leads(), await second.leads()]) == [False, True]
        leader, other = (first, second) if await first.leads() else (second, first)
        leader.kill("sync")
        fakes.go_back(HOUR)
        fakes.refunded(2)
        fakes.go_back(0)
        await other.until("matched 1 40.00 40.00", "matched 2 40.00 40.00")
        assert await other.leads()
