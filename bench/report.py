"""The figures as tables, as JSON and as a chart."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.backfill import Backfilled
from bench.databases import LABELS
from bench.growth import Cost
from bench.ingest import Ingest
from bench.memory import Memory
from bench.pairing import Paired

INGEST_GOAL = 0.7
PAIRING_GOAL = 3_000
GROWTH_GOAL = 1.5


@dataclass
class Figures:
    """All that was measured; a list is empty where it was not."""

    machine: Mapping[str, str | int]
    ingest: list[Ingest] = field(default_factory=list)
    pairing: list[Paired] = field(default_factory=list)
    growth: list[Cost] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    backfill: list[Backfilled] = field(default_factory=list)


def show(figures: Figures, console: Console) -> None:
    """Print a table of each kind."""
    machine = _table("Machine", "", "")
    for name, value in figures.machine.items():
        machine.add_row(name.replace("_", " "), str(value))
    console.print(machine)
    for table in (_ingest(figures), _pairing(figures), _growth(figures), _memory(figures), _backfill(figures)):
        if table.row_count:
            console.print(table)


def store(figures: Figures, folder: Path, at: datetime) -> list[Path]:
    """Write JSON and chart, named by the time; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    name = at.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    figures_path, chart_path = folder / f"{name}.json", folder / f"{name}.png"
    figures_path.write_text(json.dumps(asdict(figures), indent=2, ensure_ascii=False) + "\n")
    from bench.chart import draw

    draw(figures, chart_path)
    return [figures_path, chart_path]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def _ingest(figures: Figures) -> Table:
    table = _table(
        f"Durable ingest (goal: at least {INGEST_GOAL} of the listener without storage)",
        "listener", "connections", "per second", "ratio", "per CPU second", "ratio", "p50 ms", "p99 ms",
    )  # fmt: skip
    for run in figures.ingest:
        table.add_row(
            run.variant,
            str(run.connections),
            f"{run.per_second:,.0f}",
            f"{run.of_reference:.2f}",
            f"{run.per_cpu_second:,.0f}",
            f"{run.of_reference_per_cpu:.2f}",
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
        )
    return table


def _pairing(figures: Figures) -> Table:
    table = _table(
        f"Events interpreted and paired on one core (goal: {PAIRING_GOAL:,} per second on SQLite)",
        "database", "arrival", "per second", "lowest", "highest", "per CPU second",
    )  # fmt: skip
    for run in figures.pairing:
        rates = (run.per_second, run.lowest, run.highest, run.per_cpu_second)
        table.add_row(LABELS[run.database], run.arrival, *(f"{rate:,.0f}" for rate in rates))
    return table


def _growth(figures: Figures) -> Table:
    table = _table(
        f"Cost of an event by the size of the journal (goal: at most {GROWTH_GOAL} times)",
        "database", "events in journal", "append µs", "interpret and pair µs", "ratio",
    )  # fmt: skip
    for cost in figures.growth:
        spent = (f"{cost.append_us:,.0f}", f"{cost.pair_us:,.0f}", f"{cost.of_smallest:.2f}")
        table.add_row(LABELS[cost.database], f"{cost.events_in_journal:,}", *spent)
    return table


def _memory(figures: Figures) -> Table:
    table = _table("Resident memory, MiB", "database", "process", "idle", "peak under load")
    for used in figures.memory:
        table.add_row(LABELS[used.database], used.process, f"{used.idle:.0f}", f"{used.peak:.0f}")
    return table


def _backfill(figures: Figures) -> Table:
    table = _table(
        "Back-fill from a stand-in of Stripe, at the pace that is kept",
        "database", "calls per second", "events", "events per second", "waiting for the limit",
    )  # fmt: skip
    for run in figures.backfill:
        rates = (f"{run.events:,}", f"{run.per_second:,.0f}", f"{run.waiting:.0%}")
        table.add_row(LABELS[run.database], str(run.calls_per_second), *rates)
    return table
