"""How fast a source's past is fetched, and how much of that time is waiting for the rate limit that we keep."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import uvloop

from bench.databases import KINDS, LABELS, Databases
from bench.site import environment
from ledger.instants import DAY, SECOND, Instant
from sources import http_client
from sources.polling import Pace
from sources.registry import load
from storage.database import open_database
from sync.backfill import backfill
from tests.fakes.stripe import KEY, FakeStripe

DAYS = 20
RATES = (10, 100)
"""Calls a second: what is configured by default, and the most that may be."""


@dataclass(frozen=True)
class Backfilled:
    """One run."""

    database: str
    calls_per_second: int
    events: int
    per_second: float
    waiting: float
    """Share of the time that was waiting for the rate limit."""


def measure(databases: Databases, refunds: int, now: Instant, say: Callable[[str], None]) -> list[Backfilled]:
    """Fetch the same history from a stand-in of Stripe at each rate, into each kind of database."""
    fake = FakeStripe(now - DAYS * DAY, livemode=True)
    for i in range(refunds):
        fake.now = now - DAYS * DAY + i * (DAYS * DAY // refunds)
        fake.refund(fake.pay(10_000), 1_000)
    fake.now = now
    found = []
    with fake.serving() as address:
        for kind in KINDS:
            for rate in RATES:
                settings = environment(databases.new(kind)) | {
                    "REFUND_LEDGER_SOURCES__STRIPE__API_KEY": KEY,
                    "REFUND_LEDGER_SOURCES__STRIPE__API_BASE": address,
                    "REFUND_LEDGER_SOURCES__STRIPE__REQUESTS_PER_SECOND": str(rate),
                }
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    run = runner.run(_run(kind, rate, settings, now))
                found.append(run)
                say(f"{LABELS[kind]}, {rate} calls a second: {run.per_second:,.0f} events/s, {run.waiting:.0%} waiting")
    return found


async def _run(kind: str, rate: int, settings: dict[str, str], now: Instant) -> Backfilled:
    configuration = load(environ=settings)
    paces: list[Pace] = []

    def pace(per_second: float) -> Pace:
        paces.append(Pace(per_second))
        return paces[-1]

    since = now - (DAYS + 1) * DAY
    async with open_database(configuration.settings.database_url, "cli") as database:
        began = time.perf_counter()
        with patch.object(http_client, "Pace", pace):
            report = await backfill(database, configuration.sources["stripe"], since, lambda: now + 3600 * SECOND)
        spent = time.perf_counter() - began
    waited = sum(p.waited_seconds for p in paces)
    return Backfilled(kind, rate, report.fetched, report.fetched / spent, min(waited / spent, 1.0))
