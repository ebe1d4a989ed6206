"""What the sync process counts, and what the ledger looks like, as Prometheus text.

The ledger's gauges come from the database and are exported by the one process that leads, so that `sum()` is true.
They are refreshed in the background; a scrape computes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.instants import SECOND, Instant
from ledger.money import to_decimal
from storage.entries import EntryCount, OpenAmount
from sync.changes import EntryChange
from sync.poll_metrics import PollMetrics

MINUTE, HOUR, DAY = 60, 3600, 86400
LAG_BUCKETS = (
    MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY,
    14 * DAY, 30 * DAY,
)  # fmt: skip
EVENT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as it was read last."""

    counts: list[EntryCount] = field(default_factory=list)
    open: list[OpenAmount] = field(default_factory=list)
    backlog: int = 0
    dead_letters: int = 0
    last_events: dict[str, Instant] = field(default_factory=dict)


class LedgerCollector(Collector):
    """The gauges of the ledger; none where this process does not lead."""

    def __init__(self) -> None:
        self.state: LedgerState | None = None

    def collect(self) -> Iterator[Metric]:
        """The gauges, from what was read last."""
        state = self.state
        if state is None:
            return
        yield _gauge("journal_backlog_events", "Events not yet interpreted.", (), [((), state.backlog)])
        yield _gauge(
            "dead_letters", "Events set aside, because they could not be understood.", (), [((), state.dead_letters)]
        )
        entries: defaultdict[tuple[str, ...], int] = defaultdict(int)
        unverified: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for c in state.counts:
            entries[c.source, c.status, c.reason] += c.count
            if c.status == "matched" and not c.verified:
                unverified[c.source,] += c.count
        yield _gauge("entries", "Entries of the ledger.", ("source", "status", "reason"), entries.items())
        yield _gauge("unverified_entries", "Matched on a status alone.", ("source",), unverified.items())
        yield from _unmatched(state.open)
        yield _gauge(
            "source_last_event_timestamp_seconds",
            "When the newest event of a source was received.",
            ("source",),
            [((source,), at / SECOND) for source, at in state.last_events.items()],
        )


def _unmatched(amounts: Iterable[OpenAmount]) -> Iterator[Metric]:
    count: defaultdict[tuple[str, ...], int] = defaultdict(int)
    money: defaultdict[tuple[str, ...], int] = defaultdict(int)
    oldest: dict[tuple[str, ...], Instant] = {}
    for a in amounts:
        count[a.source, a.reason] += a.count
        money[a.currency, a.reason] += a.amount
        oldest[a.source, a.reason] = min(oldest.get((a.source, a.reason), a.oldest), a.oldest)
    yield _gauge("unmatched_refunds", "Unmatched entries.", ("source", "reason"), count.items())
    yield _gauge(
        "unmatched_amount",
        "Money that unmatched entries are about, in major units; unknown amounts are left out.",
        ("currency", "reason"),
        # A float is the only number Prometheus has; the sum itself was exact.
        [(labels, float(to_decimal(amount, labels[0]))) for labels, amount in money.items()],
    )
    yield _gauge(
        "oldest_unmatched_timestamp_seconds",
        "When the oldest unmatched entry was opened.",
        ("source", "reason"),
        [(labels, at / SECOND) for labels, at in oldest.items()],
    )


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"refund_ledger_{name}", text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


class Metrics:
    """The metrics of a sync process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.ledger = LedgerCollector()
        self._registry.register(self.ledger)
        ProcessCollector(registry=self._registry)
        self._lag = Histogram(
            "refund_ledger_refund_lag_seconds",
            "Between the two sides of a refund when it was matched, by the clocks of the sources.",
            ("source", "first"),
            buckets=LAG_BUCKETS,
            registry=self._registry,
        )
        self._event_to_entry = Histogram(
            "refund_ledger_event_to_entry_seconds",
            "From the arrival of an event until the ledger shows what it changed.",
            buckets=EVENT_BUCKETS,
            registry=self._registry,
        )
        self.polls = PollMetrics(self._registry)
        self.last_success = Gauge(
            "refund_ledger_sync_last_success_timestamp_seconds",
            "When this process last found all work done, or got some done.",
            registry=self._registry,
        )

    def paired(self, changes: Iterable[EntryChange], arrived: Iterable[Instant], now: Instant) -> None:
        """Count what a batch brought into the ledger."""
        changes = list(changes)
        matched_before = {c.new.id if c.new else c.successor for c in changes if c.old and c.old.status == "matched"}
        for new in (c.new for c in changes):
            if new and new.status == "matched" and new.lag is not None and new.id not in matched_before:
                self._lag.labels(new.source, new.first_side).observe(new.lag / SECOND)
        for at in arrived:
            self._event_to_entry.observe(max(now - at, 0) / SECOND)

    def text(self) -> bytes:
        """The exposition, in the Prometheus text format."""
        return generate_latest(self._registry)
