"""`python -m bench`: measure, print, store."""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import backfill, growth, ingest, memory, pairing
from bench.databases import Databases, databases
from bench.extent import DEFAULT, FULL, QUICK, Extent
from bench.machine import describe
from bench.report import Figures, show, store

BUSY = 0.5
"""The load average from which on what is measured is the others' work."""

RESULTS = Path(__file__).parent / "results"
NAMES = ("ingest", "pairing", "growth", "memory", "backfill")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure this machine. Runs alone it runs best."
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="extent", const=QUICK, help="in less than a minute")
    size.add_argument("--full", action="store_const", dest="extent", const=FULL, help="more rounds, larger journals")
    parser.add_argument("--only", choices=NAMES, action="append", help="measure this; may be given several times")
    chosen = parser.parse_args()
    console = Console()
    console.width = max(console.width, 110)  # the widest table
    if os.getloadavg()[0] > BUSY:
        console.print(
            "This machine is busy with something else: neither figures nor ratios will be true.", style="bold red"
        )
    say = partial(_say, console, time.monotonic())
    with databases() as made:
        figures = measure(made, chosen.extent or DEFAULT, chosen.only or NAMES, say)
    show(figures, console)
    for path in store(figures, RESULTS, datetime.now(UTC)):
        console.print(f"stored: {path}", highlight=False, soft_wrap=True)


def measure(made: Databases, extent: Extent, names: Sequence[str], say: Callable[[str], None]) -> Figures:
    """Measure what is named; `say` hears how it goes on."""
    now = time.time_ns() // 1000
    figures = Figures(describe(made.folder, made.postgres_version()))
    if "ingest" in names:
        figures.ingest = ingest.measure(made, extent, now, say)
    if "pairing" in names:
        figures.pairing = pairing.measure(made, extent, now, say)
    if "growth" in names:
        figures.growth = growth.measure(made, extent, now, say)
    if "memory" in names:
        figures.memory = memory.measure(made, extent, now, say)
    if "backfill" in names:
        figures.backfill = backfill.measure(made, extent.refunds, now, say)
    return figures


def _say(console: Console, began: float, text: str) -> None:
    console.print(f"[dim]{time.monotonic() - began:5.0f} s[/dim]  {text}", highlight=False)


if __name__ == "__main__":
    main()
