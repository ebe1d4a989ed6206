"""The figures as one picture."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import report
from bench.databases import LABELS

COLOURS = {"sqlite": "#2a78b5", "postgresql": "#d9822b"}


def draw(figures: "report.Figures", path: Path) -> None:
    """Write the picture, a panel for each kind of figure that was measured."""
    panels = (
        (figures.ingest, _ingest),
        (figures.pairing, _pairing),
        (figures.growth, _growth),
        (figures.memory, _memory),
        (figures.backfill, _backfill),
    )
    measured = [(found, panel) for found, panel in panels if found]
    picture = Figure(figsize=(9, 3.2 * len(measured)), layout="constrained")
    for (_, panel), axes in zip(measured, picture.subplots(len(measured), squeeze=False).flat, strict=True):
        panel(axes, figures)
        axes.spines[["top", "right"]].set_visible(False)
    picture.savefig(path, dpi=120)


def _bars(axes: Axes, labels: list[str], values: list[float], colours: list[str] | str) -> None:
    drawn = axes.barh(labels[::-1], values[::-1], color=colours[::-1] if isinstance(colours, list) else colours)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)


def _ingest(axes: Axes, figures: "report.Figures") -> None:
    axes.set_title("Webhooks on disk and answered, per second")
    labels = [f"{run.variant} ({run.connections})" for run in figures.ingest]
    colours = [
        COLOURS["sqlite" if "SQLite" in label else "postgresql"] if "SQL" in label else "#888" for label in labels
    ]
    _bars(axes, labels, [run.per_second for run in figures.ingest], colours)
    goal = report.INGEST_GOAL * max(run.per_second for run in figures.ingest if run.of_reference == 1)
    axes.axvline(goal, color="black", linestyle=":", label=f"{report.INGEST_GOAL} of the listener without storage")
    axes.legend(loc="lower right")


def _pairing(axes: Axes, figures: "report.Figures") -> None:
    axes.set_title("Events interpreted and paired, per second on one core")
    labels = [f"{LABELS[run.database]}, {run.arrival}" for run in figures.pairing]
    _bars(axes, labels, [run.per_second for run in figures.pairing], [COLOURS[r.database] for r in figures.pairing])
    axes.axvline(report.PAIRING_GOAL, color="black", linestyle=":", label="goal on SQLite")
    axes.legend(loc="lower right")


def _growth(axes: Axes, figures: "report.Figures") -> None:
    axes.set_title("Cost of an event by the size of the journal, µs")
    for kind, label in LABELS.items():
        costs = [cost for cost in figures.growth if cost.database == kind]
        sizes = [cost.events_in_journal for cost in costs]
        axes.plot(sizes, [cost.total_us for cost in costs], "o-", color=COLOURS[kind], label=label)
    axes.set_xscale("log")
    marked = sorted({cost.events_in_journal for cost in figures.growth})
    axes.set_xticks(marked, [f"{size:,}" for size in marked], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("events in the journal")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")


def _memory(axes: Axes, figures: "report.Figures") -> None:
    axes.set_title("Resident memory, MiB: peak under load (pale) and idle")
    labels = [f"{used.process}, {LABELS[used.database]}" for used in figures.memory][::-1]
    colours = [COLOURS[used.database] for used in figures.memory][::-1]
    peaks = axes.barh(labels, [used.peak for used in figures.memory][::-1], color=colours, alpha=0.4)
    axes.bar_label(peaks, fmt="{:.0f}", padding=3)
    axes.barh(labels, [used.idle for used in figures.memory][::-1], color=colours)


def _backfill(axes: Axes, figures: "report.Figures") -> None:
    axes.set_title("Events back-filled per second, at so many calls a second")
    labels = [f"{LABELS[run.database]}, {run.calls_per_second}" for run in figures.backfill]
    colours = [COLOURS[run.database] for run in figures.backfill]
    _bars(axes, labels, [run.per_second for run in figures.backfill], colours)
