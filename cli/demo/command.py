"""`refund-ledger demo`: a day and a half of refunds through the real processes, on this machine only."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
def demo() -> None:
    """See it work: a day and a half of refunds, nothing to set up.

    Starts the real listener, sync and console on free ports of 127.0.0.1 with an empty database in a temporary
    directory, sends them the webhooks of an invented print shop, and shows what the ledger makes of them. On a
    terminal it stays up until Ctrl-C. Everything is removed at the end; your own configuration and database are not
    touched.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control has it ignored
    from cli.tables import terminal

    console = terminal()
    with TemporaryDirectory(prefix="refund-ledger-demo-") as folder:
        try:
            _demonstrate(console, Path(folder))
        except KeyboardInterrupt:
            console.print("\nEnded; everything is removed.")


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _demonstrate(console: "Console", folder: Path) -> None:
    from cli.demo import screen
    from cli.demo.site import Site

    screen.title(console)
    site = Site(folder)
    try:
        with _step(console, "Starting listener, sync and console") as done:
            site.begin()
            # Loaded while the first process starts.
            from cli.demo.shop import entries_of, send, wait_until_paired
            from cli.demo.story import tell
            from cli.opening import now

            site.complete()
            done("listener, sync and console run, on an empty database")
        told = tell(now())
        with _step(console, f"Sending {len(told.deliveries)} webhooks") as done:
            answers = asyncio.run(send(site, told.deliveries))
            done(screen.sent(told, answers))
        with _step(console, "Pairing") as done:
            asyncio.run(wait_until_paired(site))
            entries = asyncio.run(entries_of(site))
            done(f"interpreted and paired: {len(entries)} entries in the ledger")
        screen.ledger(console, entries, now())
        screen.metrics(console, site, len([e for e in entries if e.status == "unmatched"]))
        screen.whats_next(console, site)
        if console.is_terminal:
            console.print("\nAll of this stays up until Ctrl-C, and is removed then.", style="bold")
            while True:  # not signal.pause(): it would sleep through a signal of the moment before it
                time.sleep(1)
    finally:
        site.stop()


@contextmanager
def _step(console: "Console", what: str) -> Iterator[Callable[[str], None]]:
    """Say what is going on while it goes on, and afterwards in one line what it came to."""
    from cli.demo import screen

    began = time.monotonic()
    came_to = [what]
    with console.status(f"{what} …"):
        yield came_to.append
    screen.done(console, f"{came_to[-1]} ({time.monotonic() - began:.1f} s)")
