"""How long events are kept as they arrived, and what is removed of one customer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from cli.opening import configuration_of, now, operator, with_database

if TYPE_CHECKING:
    from storage.database import Database
    from sync.forget import Found


@click.command(
    epilog="""\b
Examples:
  refund-ledger purge --dry-run         how many events are old enough?
  refund-ledger purge""",
)
@click.option("--dry-run", is_flag=True, help="Only count; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def purge(path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Cut and delete old events now, as [retention] says.

    The sync process does so by itself; this is for those who do not want to wait. Facts, entries and history stay, and
    so does every event that an open entry needs.
    """
    from sync.retention import purge as purged

    retention = configuration_of(path).settings.retention
    if retention.cut_bodies_after is None:
        raise click.UsageError('everything is kept for ever; add [retention] with cut_bodies_after = "400d"')
    with _progress("Events") as progress:
        report = with_database(
            path,
            lambda db: purged(
                db, retention, now(), dry_run=dry_run, progress=lambda done: progress(done.cut + done.deleted)
            ),
        )
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(report)}, indent=2))
        return
    would = "would be " if dry_run else ""
    click.echo(
        f"{report.cut} bodies {would}cut, {report.deleted} events {would}deleted, {report.kept} kept for open entries."
    )


@click.command(
    epilog="""\b
Examples:
  refund-ledger forget --order shop/1001 --dry-run
  refund-ledger forget --order shop/1001
  refund-ledger forget --email-from -   reads the address from standard input""",
)
@click.option("--order", "order", metavar="STORE/ORDER", help="All that belongs to this order.")
@click.option(
    "--email-from",
    "address_file",
    type=click.File(encoding="utf-8", errors="replace"),
    metavar="FILE",
    help="All that names the e-mail address in this file, and what belongs to it. A file, so that it is in no log.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be cut; change nothing.")
@click.option("--force", is_flag=True, help="Also where an entry is open, and what was set aside: it is given up.")
@click.pass_obj
def forget(path: Path | None, *, order: str | None, address_file: TextIO | None, dry_run: bool, force: bool) -> None:
    """Remove the personal data of one customer.

    Names, addresses and the like stand in the bodies of events only, and these are cut. What moved, when and
    how much is kept, and so are all entries; a note on each says what was done.
    """
    if (order is None) == (address_file is None):
        raise click.UsageError("give either --order or --email-from")
    address = address_file.read().strip() if address_file else None
    if address is not None and ("@" not in address or len(address.split()) != 1 or len(address) > 254):
        raise click.UsageError("--email-from: the file does not hold one e-mail address")
    found, cut, erased = with_database(path, lambda db: _forget(db, order, address, dry_run=dry_run, force=force))
    if dry_run:
        click.echo(f"{len(found.events)} events and {len(found.entries)} entries; nothing was changed.")
    else:
        if not erased:
            click.echo(
                "The -wal file beside the database still has copies: it is emptied when all processes have stopped."
            )
        left = len(found.events) - cut
        click.echo(f"{cut} bodies cut, with a note on {len(found.entries)} entries.")
        if left:
            click.echo(f"{left} others had none any more, are decisions of operators, or are not interpreted yet:")
            click.echo("`refund-ledger dead-letters` lists what was set aside; mend that and repeat this, or --force.")
    if found.decisions:
        click.echo(f"{found.decisions} decisions of operators name the address, and stay as they are.")


async def _forget(
    database: "Database", order: str | None, address: str | None, *, dry_run: bool, force: bool
) -> "tuple[Found, int, bool]":
    from sync.forget import forget as forgotten
    from sync.forget import of_address, of_order

    if address is not None:
        with _progress("Searched") as progress:
            found = await of_address(database, address, progress)
    else:
        store, _, order_id = str(order).partition("/")
        found = await of_order(database, store, order_id)
    if not found.events:
        raise click.ClickException("Nothing of it is here.")
    if found.open and not force and not dry_run:
        names = ", ".join(sorted(id_[:8] for id_ in found.open))
        raise click.ClickException(f"These entries are open: {names}. Close them first, or use --force.")
    if dry_run:
        return found, 0, False
    cut = await forgotten(database, found, operator(), now(), set_aside=force)
    return found, cut, await database.drop_copies()


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console

    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        said = 0

        def say(done: int) -> None:
            nonlocal said
            if done >= said + 10_000:
                said = done
                click.echo(f"{what}: {done}", err=True)

        yield say
        return
    with errors.status(what) as status:
        yield lambda done: status.update(f"{what}: {done:,}")
