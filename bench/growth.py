"""What an event costs in a small journal and in a large one."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from statistics import median

from bench.databases import LABELS, Databases
from bench.events import PER_ORDER, PER_REFUND, all_events, refund_events
from bench.extent import Extent
from bench.fill import fill
from bench.machine import MEASURED_CORE, worker
from bench.pairing import Worked, work_off
from ledger.instants import DAY, Instant
from storage.database import NewEvent


@dataclass(frozen=True)
class Cost:
    """Microseconds of one core for each further event, the medians of all runs."""

    database: str
    events_in_journal: int
    append_us: float
    pair_us: float
    of_smallest: float
    """Append and pair together, of what they cost in the smallest journal in the same round."""

    @property
    def total_us(self) -> float:
        """From the wire to the ledger, but for HTTP."""
        return self.append_us + self.pair_us


def measure(databases: Databases, extent: Extent, now: Instant, say: Callable[[str], None]) -> list[Cost]:
    """Fill a journal of each size, then measure further events on all of them in turn."""
    found: list[Cost] = []
    for kind, sizes in (("sqlite", extent.sqlite_journals), ("postgresql", extent.postgres_journals)):
        filled = {size: databases.new(kind) for size in sizes}
        for size, url in filled.items():
            _fill(url, kind, size, now, say)
        found += _measure(kind, filled, extent, now, say)
    return found


def further_events(size: int, count: int, turn: int, now: Instant) -> list[NewEvent]:
    """Half of them tell of new orders, half of second refunds on orders out of the whole journal; shuffled."""
    old, new, again = size // PER_ORDER, count // 2 // PER_ORDER, count // 2 // PER_REFUND
    events = all_events(range(old + turn * new, old + (turn + 1) * new), now)
    # Every round has other orders: no event comes twice, and no order grows from round to round.
    refunded = Random(1).sample(range(old), old)[turn * again : (turn + 1) * again]
    events += [event for number in refunded for event in refund_events(number, 2, now - 3 * DAY, now)]
    Random(turn).shuffle(events)
    return events


def _fill(url: str, kind: str, size: int, now: Instant, say: Callable[[str], None]) -> None:
    tenths = 0

    def done(count: int) -> None:
        nonlocal tenths
        if count * 10 // size > tenths:
            tenths = count * 10 // size
            say(f"filling {LABELS[kind]}: {count:,} of {size:,} events")

    fill(url, size // PER_ORDER, now, done)


def _measure(
    kind: str, filled: dict[int, str], extent: Extent, now: Instant, say: Callable[[str], None]
) -> Iterable[Cost]:
    runs: defaultdict[int, list[Worked]] = defaultdict(list)
    with worker(MEASURED_CORE) as process:
        for turn in range(extent.rounds):
            for size, url in filled.items() if turn % 2 == 0 else reversed(filled.items()):
                # The processes that do this run for weeks, so what they keep in memory is not measured while it fills.
                ahead, events = (further_events(size, extent.further, 2 * turn + i, now) for i in (0, 1))
                runs[size].append(process.submit(work_off, url, ahead, events, now).result())
                spent = (runs[size][-1].append + runs[size][-1].pair) * 1e6
                say(f"round {turn + 1}/{extent.rounds}: {LABELS[kind]}, {size:,} events: {spent:,.0f} µs")
    smallest = runs[min(filled)]
    for size, found in runs.items():
        yield Cost(
            database=kind,
            events_in_journal=size,
            append_us=median(run.append for run in found) * 1e6,
            pair_us=median(run.pair for run in found) * 1e6,
            of_smallest=median(
                (run.append + run.pair) / (other.append + other.pair)
                for run, other in zip(found, smallest, strict=True)
            ),
        )
