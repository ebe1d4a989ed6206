"""What the listener counts, as Prometheus text.

With several workers whoever starts them sets PROMETHEUS_MULTIPROC_DIR before this module is imported: prometheus-client
then keeps every value in a file of that directory, and a scrape of any worker adds up all of them, the dead ones too.
"""

import os
from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

Outcome = Literal["accepted", "duplicate", "ignored", "unauthenticated", "malformed", "too_large", "unavailable"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, that nobody reads


class Metrics:
    """The listener's metrics. Only configured sources have series, and they have them from the start, at 0."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._registry = CollectorRegistry()
        webhooks = Counter(
            "refund_ledger_webhooks_total",
            "Webhook deliveries answered, by what became of them.",
            ("source", "outcome"),
            registry=self._registry,
        )
        seconds = Histogram(
            "refund_ledger_webhook_duration_seconds",
            "From the head of a delivery to its answer, the commit included.",
            ("source",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.webhooks = {s: {outcome: webhooks.labels(s, outcome) for outcome in OUTCOMES} for s in sources}
        self.seconds = {source: seconds.labels(source) for source in self.webhooks}
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            # The files hold this process's values too: its own registry would show them a second time.
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The exposition, in the Prometheus text format."""
        return generate_latest(self._registry)
