"""What polling counts."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from ledger.instants import SECOND, Instant


class PollMetrics:
    """The metrics of all polls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.recovered = Counter(
            "refund_ledger_recovered_events_total",
            "Found by polling, never delivered as a webhook.",
            ("source",),
            registry=registry,
        )
        self.errors = Counter("refund_ledger_poll_errors_total", "Polls that failed.", ("source",), registry=registry)
        self.last_success = Gauge(
            "refund_ledger_poll_last_success_timestamp_seconds",
            "When a source last answered a poll.",
            ("source",),
            registry=registry,
        )
        self.deadline = Gauge(
            "refund_ledger_poll_deadline_timestamp_seconds",
            "When the oldest event that has not been fetched yet leaves the source's own list.",
            ("source",),
            registry=registry,
        )
        self.endpoint_faults = Gauge(
            "refund_ledger_endpoint_faults",
            "What is wrong with our webhook endpoint at the source; refund-ledger check says what.",
            ("source",),
            registry=registry,
        )

    def of(self, source: str) -> "SourcePolls":
        """Those of one source. Its counters begin at 0; its times are absent until there are any."""
        self.recovered.labels(source)
        self.errors.labels(source)
        return SourcePolls(self, source)


class SourcePolls:
    """What polling one source counts."""

    def __init__(self, metrics: PollMetrics, source: str) -> None:
        self._metrics = metrics
        self._source = source

    def recovered(self, events: int) -> None:
        """So many events had not been delivered."""
        self._metrics.recovered.labels(self._source).inc(events)

    def failed(self) -> None:
        """A poll failed."""
        self._metrics.errors.labels(self._source).inc()

    def succeeded(self, at: Instant) -> None:
        """The source answered."""
        self._metrics.last_success.labels(self._source).set(at / SECOND)

    def deadline(self, at: Instant) -> None:
        """When the oldest event that has not been fetched yet leaves the source's own list."""
        self._metrics.deadline.labels(self._source).set(at / SECOND)

    def forget(self) -> None:
        """Another process polls it, and knows better."""
        for gauge in (self._metrics.deadline, self._metrics.endpoint_faults):
            with suppress(KeyError):  # it was never told here
                gauge.remove(self._source)

    def faults(self, count: int) -> None:
        """So much is wrong with our webhook endpoint at the source."""
        self._metrics.endpoint_faults.labels(self._source).set(count)
