"""What the sync process counts, and what the ledger looks like, as Prometheus text.

The ledger's gauges come from the database and are exported by the one process that leads, so that `sum()` is true.
They are refreshed in the background; a scrape computes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.entries import Entry
from ledger.instants import SECOND, Instant
from ledger.money import to_decimal
from storage.entries import EntryCount, OpenAmount
from storage.queries import Unconfigured
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
    unconfigured: list[Unconfigured] = field(default_factory=list)
    last_events: dict[str, Instant] = field(default_factory=dict)
    free_bytes: int | None = None
    """On the disk of the SQLite database; None on PostgreSQL, whose disk is its server's."""


class LedgerCollector(Collector):
    """The gauges of the ledger; none where this process does not lead."""

    def __init__(self) -> None:
        self.state: LedgerState | None = None
        self.leads: Callable[[], bool] = lambda: True

    def collect(self) -> Iterator[Metric]:
        """The gauges, from what was read last."""
        state = self.state
        if state is None or not self.leads():
            return
        yield _gauge("journal_backlog_events", "Events not yet interpreted.", (), [((), state.backlog)])
        yield _gauge(
            "dead_letters", "Events set aside, because they could not be understood.", (), [((), state.dead_letters)]
        )
        entries: defaultdict[tuple[str, ...], int] = defaultdict(int)
        methods: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for one in state.unconfigured:
            methods[one.store,].add(one.method)
        unverified: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for c in state.counts:
            entries[c.source, c.status, c.reason] += c.count
            if c.status == "matched" and not c.verified:
                unverified[c.source,] += c.count
        yield _gauge("entries", "Entries of the ledger.", ("source", "status", "reason"), entries.items())
        yield _gauge("unverified_entries", "Matched on a status alone.", ("source",), unverified.items())
        yield from _unmatched(state.open)
        yield _gauge(
            "unconfigured_gateways",
            "Payment methods of recorded refunds that no source is configured for.",
            ("source",),
            [(labels, len(names)) for labels, names in methods.items()],
        )
        yield _gauge(
            "source_last_event_timestamp_seconds",
            "When the newest event of a source was received.",
            ("source",),
            [((source,), at / SECOND) for source, at in state.last_events.items()],
        )
        if state.free_bytes is not None:
            text = "Free on the disk that holds the SQLite database."
            yield _gauge("storage_free_bytes", text, (), [((), state.free_bytes)])


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
        judged = Counter(
            "refund_ledger_judged_refunds_total",
            "Entries that left pending: matched, or unmatched when the grace period was over.",
            ("outcome",),
            registry=self._registry,
        )
        # From the start, at 0: the first of each would not be seen as a rise.
        self._judged = {outcome: judged.labels(outcome) for outcome in ("matched", "unmatched")}
        self._matched_amount = Counter(
            "refund_ledger_matched_amount_total",
            "Money that went back and was matched, in major units.",
            ("currency",),
            registry=self._registry,
        )
        self.polls = PollMetrics(self._registry)
        self.customer_notices = Counter(
            "refund_ledger_customer_notices_total",
            "What became of messages to customers; put_off ones are tried again.",
            ("outcome",),
            registry=self._registry,
        )
        self.outgoing_notices = Counter(
            "refund_ledger_outgoing_notices_total",
            "What became of messages about exceptions; put_off ones are tried again.",
            ("receiver", "outcome"),
            registry=self._registry,
        )
        self.last_success = Gauge(
            "refund_ledger_sync_last_success_timestamp_seconds",
            "When this process last found all work done, or got some done.",
            registry=self._registry,
        )

    def paired(self, changes: Iterable[EntryChange], arrived: Iterable[Instant], now: Instant) -> None:
        """Count what a batch brought into the ledger."""
        changes = list(changes)
        before = {(c.new.id if c.new else c.successor, c.old.status) for c in changes if c.old}
        for new in (c.new for c in changes if c.new):
            if new.status == "matched" and (new.id, "matched") not in before:
                self._matched(new)
            if new.status in self._judged and not before & {(new.id, s) for s in ("matched", "unmatched", "resolved")}:
                self._judged[new.status].inc()
        for at in arrived:
            self._event_to_entry.observe(max(now - at, 0) / SECOND)

    def _matched(self, entry: Entry) -> None:
        if entry.lag is not None:
            self._lag.labels(entry.source, entry.first_side).observe(entry.lag / SECOND)
        if entry.gateway_amount:
            self._matched_amount.labels(entry.currency).inc(float(to_decimal(entry.gateway_amount, entry.currency)))

    def text(self) -> bytes:
        """The exposition, in the Prometheus text format."""
        return generate_latest(self._registry)
