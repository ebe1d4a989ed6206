"""Looking at the ledger."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import click

from cli.opening import configuration_of, now, with_database
from ledger.entries import REASONS, STATUSES, Entry
from ledger.instants import DAY, SECOND, Instant, from_rfc3339

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ledger.facts import Decision
    from sources.registry import Configuration
    from storage.database import Database
    from storage.entries import EntryFilter, HistoryLine

Command: TypeAlias = Callable[..., None]

_UNITS = {"d": DAY, "h": 3_600 * SECOND, "m": 60 * SECOND, "s": SECOND}


class Moment(click.ParamType[Instant]):
    """A time, or how long ago it was."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", value):
            return max(now() - int(ago[1]) * _UNITS[ago[2]], 0)
        try:
            return from_rfc3339(value)
        except ValueError:
            self.fail(f"{value!a} is neither a time as 2026-11-20T10:00:00Z nor an age as 36h or 7d", param, ctx)


_FILTERS = [
    click.option("--status", type=click.Choice(STATUSES), help="Only entries of this status."),
    click.option("--reason", type=click.Choice(REASONS), metavar="REASON", help=f"Only these: {', '.join(REASONS)}."),
    click.option("--source", metavar="NAME", help="Only those of this gateway or storefront."),
    click.option("--order", "order_id", metavar="ORDER", help="Only those of this order."),
    click.option("--since", type=Moment(), help="Opened then or later: 2026-11-20T10:00:00Z, 36h, 7d."),
    click.option("--until", type=Moment(), help="Opened before then."),
]


def _filters(command: Command) -> Command:
    """Add the options that choose entries."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command(
    epilog="""\b
Examples:
  refund-ledger entries --status unmatched
  refund-ledger entries --reason order_unknown --since 7d
  refund-ledger entries --status unmatched --json | jq '.entries[].order_id'""",
)
@_filters
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where the page before ended.")
@click.option("--json", "as_json", is_flag=True, help="Print what GET /api/v1/entries answers.")
@click.pass_obj
def entries(path: Path | None, /, *, limit: int, cursor: str | None, as_json: bool, **chosen: Any) -> None:  # noqa: ANN401
    """List entries of the ledger, the oldest first."""
    from storage.entries import EntryFilter, UnknownCursor, page
    from storage.suggestions import with_suggestions

    async def work(database: "Database") -> tuple[list[Entry], str | None]:
        async with database.read() as conn:
            found, following = await page(conn, EntryFilter(**chosen), limit, cursor)
            return await with_suggestions(conn, found), following

    try:
        found, following = with_database(path, work)
    except UnknownCursor as error:
        raise click.BadParameter(f"{error}.", param_hint="--cursor") from error
    if as_json:
        from ledger.present import entry_json

        click.echo(json.dumps({"entries": [entry_json(e) for e in found], "next_cursor": following}, indent=2))
        return
    if not found:
        click.echo("There is no such entry.")
        return
    from cli.tables import entry_table, terminal

    console = terminal()
    console.print(entry_table(found, now(), console.width))
    if following:
        click.echo(f"There are more: --cursor {following}")


@click.command(
    epilog="""\b
Examples:
  refund-ledger show 1001
  refund-ledger show 3f2c9a1b           an entry by its id, or the beginning of it""",
)
@click.argument("order")
@click.option("--store", metavar="NAME", help="The storefront, where several have an order of this number.")
@click.option("--json", "as_json", is_flag=True, help="Print what GET /api/v1/orders/STORE/ORDER answers.")
@click.pass_obj
def show(path: Path | None, *, order: str, store: str | None, as_json: bool) -> None:
    """Show ORDER: both sides, what the ledger says, and why.

    ORDER is the order's number in the storefront. The id of an entry leads to its order too.
    """
    configuration = configuration_of(path)
    shown = with_database(path, lambda database: _shown(database, configuration, order, store))
    if as_json:
        from ledger.present import entry_json

        click.echo(json.dumps(shown.page or {"entries": [entry_json(e) for e, *_ in shown.entries]}, indent=2))
        return
    from cli.tables import terminal

    _print(terminal(), shown)


@dataclass
class _Shown:
    """What there is to be shown of an order, or of an entry without one."""

    page: dict[str, Any] | None
    """As the API answers."""
    entries: "list[tuple[Entry, list[HistoryLine], dict[str, Decision]]]"
    """Each with its history, and the decisions about it by their ids."""


async def _shown(database: "Database", configuration: "Configuration", name: str, store: str | None) -> _Shown:
    from cli.finding import entry_named
    from storage.entries import load_history, order_entries
    from storage.suggestions import with_suggestions

    async with database.read() as conn:
        page = await _order_page(conn, configuration, name, store)
        if page is None and store is None:
            entry = await entry_named(conn, name, or_order=True)
            if entry.store and entry.order_id:
                page = await _order_page(conn, configuration, entry.order_id, entry.store)
            found = [entry]
        elif page is None:
            raise click.ClickException(f"{store} has told of no order {name!a}.")
        if page:
            found = await order_entries(conn, page["order"]["store"], page["order"]["order_id"])
        found = await with_suggestions(conn, found)
        return _Shown(
            page, [(entry, await load_history(conn, entry.id), await _decisions(conn, entry)) for entry in found]
        )


async def _decisions(conn: "AsyncConnection", entry: Entry) -> "dict[str, Decision]":
    from storage.decisions import load_decisions

    return {decision.id: decision for decision in await load_decisions(conn, entry)}


async def _order_page(
    conn: "AsyncConnection", configuration: "Configuration", order_id: str, store: str | None
) -> dict[str, Any] | None:
    """What the API says of the order; None where no storefront has told of it."""
    from console.orders import order_page
    from sources.registry import policy

    stores = [store] if store else [s.name for s in configuration.sources.values() if s.role == "storefront"]
    rules = policy(configuration, created_at=0)
    pages = [page for name in stores if (page := await order_page(conn, rules, name, order_id))]
    if len(pages) > 1:
        names = ", ".join(page["order"]["store"] for page in pages)
        raise click.UsageError(f"several storefronts have an order {order_id!a}: choose with --store: {names}")
    return pages[0] if pages else None


def _print(console: "Console", shown: _Shown) -> None:
    from cli.tables import entry_details, plain, simple_table

    if shown.page:
        order = shown.page["order"]
        console.print(f"Order {plain(order['order_id'])} of {order['store']}", style="bold", end="  ")
        facts = [f"{order['total']} {order['currency']}", order["payment_status"], order["cancelled"] and "cancelled"]
        console.print(*(plain(str(fact)) for fact in facts if fact), sep=", ")
        if order["transactions"]:
            console.print(f"paid as {plain(', '.join(order['transactions']))}", style="dim")
        if not shown.entries:
            console.print(f"\nIt has no entry: {_why_none(shown.page['facts'])}.")
    for entry, history, decisions in shown.entries:
        console.print()
        console.print(entry_details(entry, history, decisions, now()))
    if shown.page:
        console.print("\nEvents", style="bold")
        rows = [(e["id"], e["received_at"][:19], e["source"], e["type"], e["via"]) for e in shown.page["events"]]
        console.print(simple_table(("Id", "Received (UTC)", "Source", "Type", "Via"), rows))


def _why_none(facts: list[dict[str, Any]]) -> str:
    if any(f["fact"] in ("refund", "dispute") or "refunded" in (f.get("payment_status") or "") for f in facts):
        return (
            "what was refunded is older than the ledger, had never been captured, or may belong to other orders too "
            "(`refund-ledger entries --reason order_ambiguous`)"
        )
    return "nothing was refunded, and nothing has to be"


@click.command(
    epilog="""\b
Examples:
  refund-ledger export --since 31d > refunds.csv
  refund-ledger export --status unmatched --output open.csv""",
)
@_filters
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there instead of standard output."
)
@click.pass_obj
def export(path: Path | None, /, *, output: Path | None, **chosen: Any) -> None:  # noqa: ANN401
    """Write entries as CSV, as GET /api/v1/export.csv does."""
    from storage.entries import EntryFilter

    with _written(output) as opened:
        with_database(path, lambda database: _export(database, EntryFilter(**chosen), opened))


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """Where to write to. A file has its name only once it is complete: until then the one before it stays."""
    if output is None:
        yield sys.stdout
        return
    part = output if output.exists() and not output.is_file() else output.with_name(f"{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as opened:
            yield opened
    except BaseException:
        if part != output:
            part.unlink(missing_ok=True)
        raise
    if part != output:
        part.replace(output)


async def _export(database: "Database", chosen: "EntryFilter", opened: TextIO) -> None:
    from console.export import csv_pages

    async for piece in csv_pages(database, chosen):
        opened.write(piece)
