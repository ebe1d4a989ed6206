"""How many webhooks a second are on disk and answered: the real listener, beside itself without storage."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.databases import Databases
from bench.events import charges
from bench.extent import Extent
from bench.load import Sent, drive
from bench.machine import OTHER_CORE, worker
from bench.site import LISTENER, Process, running
from ledger.instants import Instant

CONNECTIONS = (16, 64)
REFERENCE = "without storage"

# Name, database, command.
VARIANTS = (
    (REFERENCE, "sqlite", ("-m", "bench.variants", "without_storage")),
    ("SQLite", "sqlite", LISTENER),
    ("PostgreSQL", "postgresql", LISTENER),
    ("SQLite, one commit each", "sqlite", ("-m", "bench.variants", "one_commit_each")),
    ("PostgreSQL, one commit each", "postgresql", ("-m", "bench.variants", "one_commit_each")),
)


@dataclass(frozen=True)
class Ingest:
    """The medians of one variant's runs."""

    variant: str
    connections: int
    per_second: float
    of_reference: float
    """Of what the listener without storage served in the same round."""
    per_cpu_second: float
    of_reference_per_cpu: float
    p50_ms: float
    p99_ms: float
    lowest: float
    highest: float
    """Per second, of all runs."""
    sender_busy: float


def measure(databases: Databases, extent: Extent, now: Instant, say: Callable[[str], None]) -> list[Ingest]:
    """All variants in turn, in the opposite order in every other round."""
    runs: defaultdict[tuple[str, int], list[Sent]] = defaultdict(list)
    first = 0
    with ExitStack() as stack:
        sender = stack.enter_context(worker(OTHER_CORE))
        servers = {name: _started(stack, databases, kind, command) for name, kind, command in VARIANTS}
        for turn, connections, name in _turns(extent.rounds):
            count = extent.requests // 10 if "each" in name else extent.requests
            sent = sender.submit(drive, servers[name], connections, partial(charges, first, count, now)).result()
            first += count
            runs[name, connections].append(sent)
            say(f"round {turn + 1}/{extent.rounds}: {name}, {connections} connections: {sent.per_second:,.0f}/s")
    return [_summary(name, n, runs[name, n], runs[REFERENCE, n]) for n in CONNECTIONS for name, *_ in VARIANTS]


def _started(stack: ExitStack, databases: Databases, kind: str, command: tuple[str, ...]) -> Process:
    return stack.enter_context(running(databases.new(kind), databases.folder, command))


def _turns(rounds: int) -> Iterator[tuple[int, int, str]]:
    for turn in range(rounds):
        for connections in CONNECTIONS:
            for name, *_ in VARIANTS if turn % 2 == 0 else reversed(VARIANTS):
                yield turn, connections, name


def _summary(name: str, connections: int, runs: list[Sent], reference: list[Sent]) -> Ingest:
    pairs = list(zip(runs, reference, strict=True))
    return Ingest(
        variant=name,
        connections=connections,
        per_second=median(run.per_second for run in runs),
        of_reference=median(run.per_second / other.per_second for run, other in pairs),
        per_cpu_second=median(run.per_cpu_second for run in runs),
        of_reference_per_cpu=median(run.per_cpu_second / other.per_cpu_second for run, other in pairs),
        p50_ms=median(run.p50_ms for run in runs),
        p99_ms=median(run.p99_ms for run in runs),
        lowest=min(run.per_second for run in runs),
        highest=max(run.per_second for run in runs),
        sender_busy=median(run.sender_busy for run in runs),
    )
