"""How many events a second one core turns into the ledger: interpreted and paired until nothing is left."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import uvloop

from bench.databases import KINDS, LABELS, Databases
from bench.events import PER_ORDER, as_they_happen, in_disorder
from bench.extent import Extent
from bench.machine import MEASURED_CORE, worker
from bench.site import environment
from config.collector import calm_collector
from ledger.instants import Instant
from ledger.policy import Policy
from sources.registry import AnySource, load, policy
from storage.database import Database, NewEvent, open_database
from sync.work import settle

ARRIVALS = {"shuffled": in_disorder, "as they happen": as_they_happen}

BATCH = 32
"""Events that are appended together, as a listener under load does."""


@dataclass(frozen=True)
class Paired:
    """The medians of all runs."""

    database: str
    arrival: str
    per_second: float
    per_cpu_second: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Worked:
    """Seconds for each event in one run."""

    append: float
    pair: float
    """With bringing what SQLite keeps in its log into the database: else chance would say in which run that falls."""
    pair_cpu: float
    """Of this process: not what PostgreSQL used."""


def measure(databases: Databases, extent: Extent, now: Instant, say: Callable[[str], None]) -> list[Paired]:
    """Each kind of database and each order of arrival in turn, every time on a new database."""
    runs: defaultdict[tuple[str, str], list[Worked]] = defaultdict(list)
    orders = range(extent.events // PER_ORDER)
    with worker(MEASURED_CORE) as process:
        for turn in range(extent.rounds):
            for kind in KINDS:
                for arrival, arranged in ARRIVALS.items():
                    events = arranged(orders, now)
                    run = process.submit(work_off, databases.new(kind), events[:BATCH], events[BATCH:], now).result()
                    runs[kind, arrival].append(run)
                    say(f"round {turn + 1}/{extent.rounds}: {LABELS[kind]}, {arrival}: {1 / run.pair:,.0f}/s")
    return [_summary(kind, arrival, found) for (kind, arrival), found in runs.items()]


def work_off(database_url: str, ahead: list[NewEvent], events: list[NewEvent], now: Instant) -> Worked:
    """Append these events, then interpret and pair them until nothing is left to do; so first `ahead`, not measured."""
    calm_collector()  # as the sync process does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work_off(database_url, ahead, events, now))


async def _work_off(database_url: str, ahead: list[NewEvent], events: list[NewEvent], now: Instant) -> Worked:
    sources, rules = configured(now)
    async with open_database(database_url, "sync") as database:
        await _append(database, ahead)
        await settle(database, sources, rules, lambda: now)
        await database.drop_copies()
        began = time.perf_counter()
        await _append(database, events)
        appended, cpu = time.perf_counter(), time.process_time()
        await settle(database, sources, rules, lambda: now)
        await database.drop_copies()
        paired, cpu = time.perf_counter(), time.process_time() - cpu
        return Worked((appended - began) / len(events), (paired - appended) / len(events), cpu / len(events))


async def _append(database: Database, events: list[NewEvent]) -> None:
    for i in range(0, len(events), BATCH):
        await database.append(events[i : i + BATCH])


def configured(now: Instant) -> tuple[dict[str, AnySource], Policy]:
    """The sources, and what pairing depends on in a ledger that is created now."""
    configuration = load(environ=environment("sqlite:////nowhere/ledger.db"))
    return configuration.sources, policy(configuration, now)


def _summary(kind: str, arrival: str, runs: list[Worked]) -> Paired:
    return Paired(
        database=kind,
        arrival=arrival,
        per_second=median(1 / run.pair for run in runs),
        per_cpu_second=median(1 / run.pair_cpu for run in runs),
        lowest=min(1 / run.pair for run in runs),
        highest=max(1 / run.pair for run in runs),
    )
