"""`refund-ledger import`: a report as events, where there is nothing better."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.opening import configuration_of, now

if TYPE_CHECKING:
    from ledger.entries import Entry
    from sources.registry import Configuration
    from sync.changes import EntryChange
    from sync.importing import ImportReport, Progress, Report

SHOWN_MAX = 50
SAID_EVERY = 10_000
"""Without a terminal, progress is a line for so many rows."""


class _Pair(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:  # noqa: ANN401 - click's
        left, equals, right = value.partition("=")
        if not equals or not left.strip() or not right.strip():
            self.fail(f"{value!a} is not written as {param.metavar if param else self.name}", param, ctx)
        return left.strip(), right.strip()


class _Zone(click.ParamType[tzinfo]):
    """A time zone by its name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:  # noqa: ANN401 - click's
        from config.values import time_zone

        try:
            return time_zone(value)
        except ValueError:
            self.fail(f"{value!a} is not a time zone as Europe/London", param, ctx)


@click.command(
    "import",
    epilog="""\b
Examples:
  refund-ledger import --source stripe refunds.csv --map id="Refund ID" --map amount=Amount --map currency=Currency
      --map at=Created --map payment="Payment ID" --map status=Status --value status:paid=succeeded --dry-run
  refund-ledger import --source shop orders.csv --map order="Order No" --map payment_status="Payment Status"
      --map refunded=Refunded --map total=Total --map currency=Currency --set occurred_at=2026-11-23T17:00:00Z
Exit status: 0 done, 1 not done (a row or the file cannot be used), 2 wrong use. The fields: docs/imports.md.""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", "name", metavar="NAME", required=True, help="Which of the configured sources it is from.")
@click.option("--map", "columns", type=_Pair(), multiple=True, metavar="FIELD=COLUMN", help="A field and its column.")
@click.option("--set", "fixed", type=_Pair(), multiple=True, metavar="FIELD=VALUE", help="The same in every row.")
@click.option("--value", "words", type=_Pair(), multiple=True, metavar="FIELD:WORD=OURS", help="What a word means.")
@click.option("--only", type=_Pair(), multiple=True, metavar="COLUMN=WORD", help="Only rows with this in the column.")
@click.option("--decimal-comma", is_flag=True, help="Amounts are written as 1.234,56.")
@click.option("--negative", is_flag=True, help="What went back is written with a minus.")
@click.option("--date-format", metavar="FORMAT", help="How times are written, as %d/%m/%Y %H:%M. Default: ISO 8601.")
@click.option("--timezone", type=_Zone(), default="UTC", show_default=True, help="Of times that tell none.")
@click.option("--encoding", type=click.Choice(["utf-8", "cp1252", "utf-16"]), default="utf-8", show_default=True)
@click.option("--delimiter", metavar="CHARACTER", help='Between cells; "tab" for a tab. Default: found out.')
@click.option("--skip-bad-rows", is_flag=True, help="Import the others, where some rows cannot be used.")
@click.option("--dry-run", is_flag=True, help="Only show what would be new, and which entries would change.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def import_(ctx: click.Context, /, *, file: Path, name: str, **told: Any) -> None:  # noqa: ANN401 - click's
    """Take the rows of a report (CSV) as events.

    A storefront's order export, or a gateway's refund export: for what no webhook and no poll can bring. Every row
    goes through the same journal as a webhook, once, however often it is imported; where a row cannot be used, none
    is. Try it with --dry-run first.
    """
    from storage.database import open_database
    from sync.importing import foresee_import, import_report
    from sync.report_file import ReportUnusable

    configuration = configuration_of(ctx.obj)
    report = _report(configuration, name, file, told)
    dry_run: bool = told["dry_run"]

    async def work(progress: "Progress") -> "ImportReport":
        async with open_database(configuration.settings.database_url, "cli") as database:
            if not dry_run:
                return await import_report(database, report, skip_bad_rows=told["skip_bad_rows"], progress=progress)
            from sources.registry import policy
            from storage.meta import created_at

            async with database.read() as conn:
                rules = policy(configuration, await created_at(conn))
            return await foresee_import(database, report, rules, progress=progress)

    try:
        with _progress(file) as progress:
            found = asyncio.run(work(progress))
    except ReportUnusable as error:
        raise click.ClickException(str(error)) from error
    if told["as_json"]:
        click.echo(json.dumps(_as_json(report, found, dry_run=dry_run), indent=2))
    else:
        _show(report, found, dry_run=dry_run, skip_bad_rows=told["skip_bad_rows"])
    ctx.exit(1 if found.malformed and not told["skip_bad_rows"] else 0)


def _report(configuration: "Configuration", name: str, file: Path, told: dict[str, Any]) -> "Report":
    """The report as the options describe it; a UsageError with every mistake."""
    from config.problems import nearest
    from sources.imports import NEEDED, Form, fields_of
    from sync.importing import Report
    from sync.report_file import Layout

    source = configuration.sources.get(name)
    if source is None:
        raise click.BadParameter(f"{name!a} is none of {', '.join(configuration.sources)}", param_hint="--source")
    columns, fixed = dict(told["columns"]), dict(told["fixed"])
    words = {tuple(key.partition(":")[::2]): ours for key, ours in told["words"]}
    fields = fields_of(source.role)
    named = [*(n for n, _ in told["columns"]), *(n for n, _ in told["fixed"])]
    mistakes = [f"{n!a} is not a field: {nearest(n, fields)}" for n in dict.fromkeys(named) if n not in fields]
    mistakes += [f"{n} is given twice" for n in dict.fromkeys(named) if named.count(n) > 1]
    mistakes += [f"--value {key}: write FIELD:WORD=OURS, with one of the fields" for key, _ in told["words"]
                 if key.partition(":")[0] not in fields or not key.partition(":")[2]]  # fmt: skip
    mistakes += [
        f"{n} is missing ({fields[n]}): --map {n}=COLUMN, or --set {n}=VALUE where it is the same in every row"
        for n in NEEDED[source.role]
        if n not in named
    ]
    delimiter = "\t" if told["delimiter"] == "tab" else told["delimiter"]
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        mistakes.append('--delimiter is one character, or "tab"')
    if mistakes:
        raise click.UsageError("\n       ".join(mistakes))
    only = {column: frozenset(w for c, w in told["only"] if c == column) for column, _ in told["only"]}
    layout = Layout(columns, fixed, only, told["encoding"], delimiter)
    form = Form(words, told["decimal_comma"], told["negative"], told["date_format"], told["timezone"])
    return Report(source, file, layout, form, now())


@contextmanager
def _progress(file: Path) -> "Iterator[Progress]":
    """On a terminal a bar by bytes of the file, elsewhere a line for every 10,000 rows."""
    if not sys.stderr.isatty():
        counts: Counter[str] = Counter()

        def say(what: str, _done: int) -> None:
            counts[what] += 1
            if counts[what] % SAID_EVERY == 0:
                click.echo(f"{counts[what]:,} rows {what}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=file.stat().st_size)
            bar.update(tasks[what], completed=done)

        yield show


def _as_json(report: "Report", found: "ImportReport", *, dry_run: bool) -> dict[str, Any]:
    from ledger.present import entry_json

    def entry(one: "Entry | None") -> dict[str, Any] | None:
        return entry_json(one) if one else None

    return {
        "source": report.source.name,
        "dry_run": dry_run,
        "imported": found.imported,
        "rows": found.rows,
        "left_out": found.left_out,
        "new": len(found.new),
        "known": len(found.known),
        "malformed": found.malformed,
        "new_lines": lines_text(found.new),
        "known_lines": lines_text(found.known),
        "faults": [{"line": line, "reason": reason} for line, reason in found.faults],
        "entries": [{"before": entry(c.old), "after": entry(c.new)} for c in found.changes],
    }


def _show(report: "Report", found: "ImportReport", *, dry_run: bool, skip_bad_rows: bool) -> None:
    for line, reason in found.faults:
        click.echo(f"line {line}: {reason}", err=True)
    if more := found.malformed - len(found.faults):
        click.echo(f"… and {more:,} more", err=True)
    if found.malformed and not skip_bad_rows:
        nothing = f"Nothing {'would be' if dry_run else 'was'} imported"
        click.echo(
            f"{nothing}: {found.malformed:,} of {found.rows:,} rows cannot be used. "
            "Mend them, or leave them out with --skip-bad-rows.",
            err=True,
        )
        if not dry_run:
            return
    new = f"{len(found.new):,} {'would be ' if dry_run else ''}new, {len(found.known):,} known"
    rest = f"{found.malformed:,} cannot be used, {found.left_out:,} left out"
    click.echo(f"{found.rows:,} rows for {report.source.name}: {new}, {rest}.")
    if dry_run:
        _foreseen(found)
    elif found.new:
        click.echo("The sync process takes them in.")


def _foreseen(found: "ImportReport") -> None:
    from cli.tables import simple_table, terminal

    for name, lines in (("new", found.new), ("known", found.known)):
        if lines:
            click.echo(f"  {name}: line {lines_text(lines)}")
    click.echo(f"Entries that would open, change or end: {len(found.changes):,}. Nothing was written.")
    if found.changes:
        heads = ("Entry", "Order", "Is", "Would be", "Gateway", "Storefront", "")
        terminal().print(simple_table(heads, map(_change, found.changes[:SHOWN_MAX])))
    if len(found.changes) > SHOWN_MAX:
        click.echo(f"These are the first {SHOWN_MAX}; --json has all of them.")


def _change(change: "EntryChange") -> tuple[str, ...]:
    from cli.tables import NONE, money, other_side

    entry = change.new or change.old
    assert entry
    before, after = ((e.reason or e.status) if e else NONE for e in (change.old, change.new))
    gateway, (storefront, currencies) = money(entry.gateway_amount, entry.currency), other_side(entry)
    return entry.id[:8], entry.order_id or NONE, before, after, gateway, storefront, currencies


def lines_text(lines: Iterable[int]) -> str:
    """Lines in ascending order as "2-41, 43": at most 20 stretches of them."""
    stretches: list[list[int]] = []
    for line in lines:
        if stretches and line == stretches[-1][1] + 1:
            stretches[-1][1] = line
        else:
            stretches.append([line, line])
    said = [str(first) if first == last else f"{first}-{last}" for first, last in stretches[:20]]
    return ", ".join(said) + (", …" if len(stretches) > 20 else "")
