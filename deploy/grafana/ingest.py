"""The board for whoever runs the processes: does everything arrive, and does the ledger keep up."""

from typing import Any

from deploy.grafana.panels import board, graph, number

_HERE = 'source=~"$source"'
_DOOR = f"sum by (le, source) (rate(refund_ledger_webhook_duration_seconds_bucket{{{_HERE}}}[$__rate_interval]))"
_INSIDE = "sum by (le) (rate(refund_ledger_event_to_entry_seconds_bucket[$__rate_interval]))"
_QUANTILES = (0.5, 0.99)


def ingest() -> dict[str, Any]:
    """The board *Ingest and sync*."""
    return board(
        "refund-ledger-ingest",
        "Refund Ledger / Ingest and sync",
        "Whether webhooks arrive, polling finds little, and the ledger keeps up.",
        {"Now": _now(), "Webhooks": _webhooks(), "Sync": _sync(), "Polling": _polling()},
    )


def _now() -> list[Any]:
    return [
        number(
            "Processes down",
            "Listeners, sync processes and consoles that do not answer.",
            "short",
            ('count(up{job=~"refund-ledger-.+"} == 0) or vector(0)', ""),
            red_from=1,
        ),
        number(
            "Backlog",
            "Events that are stored and not yet interpreted.",
            "short",
            ("max(refund_ledger_journal_backlog_events)", ""),
            red_from=1000,
        ),
        number(
            "Dead letters",
            "Authentic events that could not be understood. `refund-ledger dead-letters list` says why.",
            "short",
            ("max(refund_ledger_dead_letters)", ""),
            red_from=1,
        ),
        number(
            "Sync last got work done",
            "How long ago a sync process found all work done, or got some done.",
            "s",
            ("time() - max(refund_ledger_sync_last_success_timestamp_seconds)", ""),
            red_from=300,
        ),
    ]


def _webhooks() -> list[Any]:
    return [
        graph(
            "Webhooks by outcome",
            "Deliveries answered. `unauthenticated` is a wrong secret or a stranger, `unavailable` a failing database.",
            "reqps",
            (
                f"sum by (source, outcome) (rate(refund_ledger_webhooks_total{{{_HERE}}}[$__rate_interval]))",
                "{{source}} {{outcome}}",
            ),
        ),
        graph(
            "Latency of webhooks",
            "From the head of a delivery to its answer, the commit to disk included.",
            "s",
            *((f"histogram_quantile({q}, {_DOOR})", f"{{{{source}}}} {q * 100:g} %") for q in _QUANTILES),
        ),
        graph(
            "Silence of sources",
            "How long ago the newest event of each source was received, by webhook or by polling.",
            "s",
            (
                f"time() - max by (source) (refund_ledger_source_last_event_timestamp_seconds{{{_HERE}}})",
                "{{source}}",
            ),
        ),
        graph(
            "Recovered events",
            "Found by polling, never delivered: webhooks that got lost.",
            "short",
            (
                f"sum by (source) (increase(refund_ledger_recovered_events_total{{{_HERE}}}[$__rate_interval]))",
                "{{source}}",
            ),
        ),
    ]


def _sync() -> list[Any]:
    return [
        graph(
            "Event to entry",
            "From the arrival of an event until the ledger shows what it changed.",
            "s",
            *((f"histogram_quantile({q}, {_INSIDE})", f"{q * 100:g} %") for q in _QUANTILES),
        ),
        graph(
            "Backlog and dead letters",
            "What waits to be interpreted, and what was set aside.",
            "short",
            ("max(refund_ledger_journal_backlog_events)", "backlog"),
            ("max(refund_ledger_dead_letters)", "dead letters"),
        ),
        graph(
            "Free on the disk",
            "Of the SQLite database; with PostgreSQL the disk is its server's, and this stays empty.",
            "bytes",
            ("min(refund_ledger_storage_free_bytes)", "free"),
        ),
        graph(
            "Memory of the processes",
            "Resident memory.",
            "bytes",
            ('process_resident_memory_bytes{job=~"refund-ledger-.+"}', "{{job}} {{instance}}"),
        ),
    ]


def _polling() -> list[Any]:
    return [
        graph(
            "Last successful poll",
            "How long ago each source answered.",
            "s",
            (f"time() - max by (source) (refund_ledger_poll_last_success_timestamp_seconds{{{_HERE}}})", "{{source}}"),
        ),
        graph(
            "Failed polls",
            "A few are the weather; a plateau is a wrong key or a missing right.",
            "short",
            (f"sum by (source) (increase(refund_ledger_poll_errors_total{{{_HERE}}}[$__rate_interval]))", "{{source}}"),
        ),
        graph(
            "Time left to look back",
            "Until the source forgets the oldest event that was not fetched yet; a level line is right.",
            "s",
            (f"max by (source) (refund_ledger_poll_deadline_timestamp_seconds{{{_HERE}}}) - time()", "{{source}}"),
        ),
        graph(
            "Faults of our endpoints",
            "What is wrong with our webhook endpoint at the source; `refund-ledger check` says what.",
            "short",
            (f"max by (source) (refund_ledger_endpoint_faults{{{_HERE}}})", "{{source}}"),
        ),
    ]
