"""What operators decide. Each decision is an event in the journal, with who made it and when, like any other event."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.opening import now, operator, with_database

if TYPE_CHECKING:
    from ledger.facts import Action
    from storage.database import Database
    from storage.decisions import Decided

_entry = click.argument("entry")
_json = click.option("--json", "as_json", is_flag=True, help="Print the entry as the API shows it.")


@click.command(epilog='Example: refund-ledger resolve 3f2c9a1b "paid back by bank transfer, see ticket 812"')
@_entry
@click.argument("reason")
@_json
@click.pass_obj
def resolve(path: Path | None, *, entry: str, reason: str, as_json: bool) -> None:
    """Close ENTRY, because REASON.

    ENTRY is its id, or the beginning of it as `refund-ledger entries` shows it. It reopens by itself when its
    reason, members, amounts or currency change.
    """
    _decide(path, entry, "resolve", as_json=as_json, text=reason)


@click.command()
@_entry
@_json
@click.pass_obj
def reopen(path: Path | None, *, entry: str, as_json: bool) -> None:
    """Open ENTRY again that was resolved."""
    _decide(path, entry, "reopen", as_json=as_json)


@click.command(epilog="Example: refund-ledger link 3f2c9a1b shop 1001")
@_entry
@click.argument("store")
@click.argument("order")
@_json
@click.pass_obj
def link(path: Path | None, *, entry: str, store: str, order: str, as_json: bool) -> None:
    """Say that ENTRY's gateway refunds belong to ORDER of STORE.

    `refund-ledger entries --reason order_unknown` lists those that need it, and `show` suggests orders.
    """
    _decide(path, entry, "link", as_json=as_json, order=(store, order))


@click.command()
@_entry
@_json
@click.pass_obj
def unlink(path: Path | None, *, entry: str, as_json: bool) -> None:
    """Take back an operator's link of ENTRY."""
    _decide(path, entry, "unlink", as_json=as_json)


@click.command(epilog='Example: refund-ledger note 3f2c9a1b "customer called, has not seen the money"')
@_entry
@click.argument("text")
@_json
@click.pass_obj
def note(path: Path | None, *, entry: str, text: str, as_json: bool) -> None:
    """Write TEXT into the history of ENTRY."""
    _decide(path, entry, "note", as_json=as_json, text=text)


def _decide(
    path: Path | None,
    entry_id: str,
    action: "Action",
    *,
    as_json: bool,
    text: str = "",
    order: tuple[str, str] = ("", ""),
) -> None:
    from cli.finding import entry_named
    from storage.decisions import Conflict, Intent, Invalid, NoSuchEntry, decide
    from storage.journal import Journal

    async def work(database: "Database") -> "Decided":
        async with database.read() as conn:
            found = await entry_named(conn, entry_id)
        intent = Intent(found.id, action, operator(), now(), text, *order)
        async with Journal(database) as journal:
            return await decide(database, journal, intent)

    try:
        entry, in_effect = with_database(path, work)
    except (Conflict, Invalid, NoSuchEntry) as error:
        raise click.ClickException(f"{error}.") from error
    if as_json:
        from ledger.present import entry_json

        click.echo(json.dumps(entry_json(entry), indent=2))
    elif in_effect:
        click.echo(f"Done: entry {entry.id} is {entry.status}.")
    if not in_effect:
        click.echo("It is stored, and takes effect as soon as the sync process runs.", err=True)
