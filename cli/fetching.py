"""Asking the sources: what was missed, whether the ledger agrees with them, and how each of them is."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.looking import Moment
from cli.opening import configuration_of, now
from ledger.instants import Instant

if TYPE_CHECKING:
    from sources.registry import AnySource, Configuration
    from storage.queries import Unconfigured
    from sync.backfill import BackfillReport
    from sync.verify import Drift, VerifyReport

SHOWN_MAX = 50

_source = click.option("--source", "name", metavar="NAME", required=True, help="Which of the configured sources.")
_since = click.option("--since", type=Moment(), required=True, help="From when on: 2026-11-20T10:00:00Z, 36h, 30d.")


@click.command(
    epilog="""\b
Examples:
  refund-ledger backfill --source stripe --since 30d
  refund-ledger backfill --source stripe --since 30d --dry-run""",
)
@_source
@_since
@click.option("--dry-run", is_flag=True, help="Only say what would be new; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def backfill(path: Path | None, *, name: str, since: Instant, dry_run: bool, as_json: bool) -> None:
    """Fetch what a source's own lists tell, into the journal.

    It keeps to the source's rate limit and may run while the processes do; the sync process takes in what it finds.
    Stopped, it goes on where it stood when it is started again with the same day.
    """
    configuration = configuration_of(path)
    source = _askable(configuration, name)
    if source.role != "gateway":
        raise click.UsageError(f"{name} has no list to fetch: its orders are read one by one, by the sync process")

    async def work(progress: "Callable[[BackfillReport], None]") -> "BackfillReport":
        from storage.database import open_database
        from sync.backfill import backfill as fetched

        async with open_database(configuration.settings.database_url, "cli") as database:
            return await fetched(database, source, since, now, dry_run=dry_run, progress=progress)

    with _backfill_progress() as progress:
        report = _asked(work(progress))
    if as_json:
        click.echo(json.dumps({"source": name, "dry_run": dry_run, **asdict(report)}, indent=2))
        return
    if report.resumed:
        click.echo("It went on where an earlier one had stopped.")
    what = "would be new; nothing was written" if dry_run else "were new"
    click.echo(f"{report.fetched} fetched from {name}, {report.new} {what}.")


@click.command(
    epilog="""\b
Examples:
  refund-ledger verify --source stripe --since 30d
  refund-ledger verify --source stripe --since 2026-11-01T00:00:00Z --json
Exit status: 0 they agree, 3 they do not.""",
)
@_source
@_since
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(ctx: click.Context, *, name: str, since: Instant, as_json: bool) -> None:
    """Compare the ledger with the gateway's own list of refunds.

    Nothing is written. What may be on its way is left out: what is younger than ten minutes, of a gateway that is
    only polled also what is younger than its poll_interval.
    """
    configuration = configuration_of(ctx.obj)
    source = _askable(configuration, name)
    if source.role != "gateway":
        raise click.UsageError(f"{name} is no gateway: there is no list of refunds to compare with")

    async def work(progress: Callable[[int], None]) -> "VerifyReport":
        from storage.database import open_database
        from sync.verify import verify as verified

        async with open_database(configuration.settings.database_url, "cli") as database:
            return await verified(database, source, since, now, progress=progress)

    with _verify_progress() as progress:
        report = _asked(work(progress))
    if as_json:
        drift = [_drift_json(one) for one in report.drift]
        click.echo(json.dumps({"source": name, "compared": report.compared, "drift": drift}, indent=2))
    else:
        _show_drift(report)
    ctx.exit(3 if report.drift else 0)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.pass_obj
def sources(path: Path | None, *, as_json: bool) -> None:
    """List the sources, and how each of them is.

    When it was last heard of and last polled, and what is wrong with its webhook endpoint.
    """
    configuration = configuration_of(path)
    found, unconfigured = asyncio.run(_states(configuration))
    if as_json:
        from console.summary import unconfigured_json

        shown = {"sources": found, "unconfigured": [unconfigured_json(one) for one in unconfigured]}
        click.echo(json.dumps(shown, indent=2))
        return
    from cli.tables import NONE, plain, simple_table, terminal

    heads = ("Name", "Kind", "Role", "Webhooks at", "Last event (UTC)", "Last poll (UTC)", "Endpoint")
    console = terminal()
    rows = [
        (s["name"], s["kind"], s["role"], s["webhook_path"],
         _date(s["last_event_at"]), _date(s["last_poll_at"]), _endpoint(s["endpoint_faults"]))
        for s in found
    ]  # fmt: skip
    console.print(simple_table(heads, rows) if rows else NONE)
    for state in found:
        for fault in state["endpoint_faults"] or ():
            console.print(f"{state['name']}: {plain(fault)}")
    for one in unconfigured:
        console.print(plain(unconfigured_sentence(one)))


def _askable(configuration: "Configuration", name: str) -> "AnySource":
    source = configuration.sources.get(name)
    if source is None:
        raise click.BadParameter(f"{name!a} is none of {', '.join(configuration.sources)}", param_hint="--source")
    if not source.askable:
        raise click.UsageError(f"{name} cannot be asked: it has no key for its API, or poll_interval is off")
    return source


def _asked(work: Any) -> Any:  # noqa: ANN401 - whatever the work returns
    """What the work returns; a failure of the other side in one sentence."""
    from sources.polling import ApiFailed

    try:
        return asyncio.run(work)
    except ApiFailed as failure:
        raise click.ClickException(f"The source could not be asked: {failure}.") from failure


@contextmanager
def _backfill_progress() -> "Iterator[Callable[[BackfillReport], None]]":
    """On a terminal a bar with count and estimate, elsewhere a line for each window of time."""
    if not sys.stderr.isatty():
        said = -1

        def say(report: "BackfillReport") -> None:
            nonlocal said
            if report.done > said:
                said = report.done
                click.echo(f"{report.done} of {report.windows} windows, {report.fetched} fetched", err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda report: bar.update(
            task,
            total=report.windows,
            completed=report.done,
            description=f"{report.fetched:,} fetched, {report.new:,} new",
        )


@contextmanager
def _verify_progress() -> Iterator[Callable[[int], None]]:
    """How many were compared; how many there are is not known before the end."""
    from rich.console import Console

    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        yield lambda compared: click.echo(f"{compared} compared", err=True)
        return
    with errors.status("Comparing") as status:
        yield lambda compared: status.update(f"Comparing: {compared:,}")


def _drift_json(one: "Drift") -> dict[str, Any]:
    from ledger.instants import to_rfc3339
    from ledger.money import to_decimal

    sides: dict[str, Any] = {}
    for side, told in (("gateway", one.gateway), ("ledger", one.ledger)):
        sides[side] = told and {
            "kind": told.kind,
            "status": told.status,
            "amount": None if told.amount is None else to_decimal(told.amount, told.currency),
            "currency": told.currency,
            "at": to_rfc3339(told.at),
        }
    return {"id": one.id, "drift": one.kind, "fields": list(one.fields), **sides}


def _show_drift(report: "VerifyReport") -> None:
    from cli.tables import NONE, simple_table, terminal

    click.echo(f"{report.compared} compared, {len(report.drift)} do not agree.")

    def told(side: dict[str, Any] | None) -> str:
        return f"{side['kind']} {side['status']} {side['amount']} {side['currency']}" if side else NONE

    shown = [_drift_json(one) for one in report.drift[:SHOWN_MAX]]
    rows = [(one["id"], one["drift"], told(one["gateway"]), told(one["ledger"])) for one in shown]
    if rows:
        terminal().print(simple_table(("Refund", "Drift", "Gateway", "Ledger"), rows))
    if len(report.drift) > SHOWN_MAX:
        click.echo(f"These are the first {SHOWN_MAX}; --json has all of them.")
    if any(one.kind == "missing" for one in report.drift):
        click.echo("`refund-ledger backfill` fetches what is missing.")


def unconfigured_sentence(one: "Unconfigured") -> str:
    """What there is to be said of a gateway that nobody listens to, and the mend."""
    from ledger.money import to_decimal

    amount = f"{to_decimal(one.amount, one.currency)} {one.currency}".rstrip()
    return (
        f"Orders of {one.store} name {one.method}, and no source is configured for it. Recorded refunds that cannot be"
        f" judged: {one.count}, of {amount}. Add its source and name it in sources.{one.store}.payment_methods; or,"
        " where it is no gateway, in offline_methods."
    )


async def _states(configuration: "Configuration") -> "tuple[list[dict[str, Any]], list[Unconfigured]]":
    from ledger.present import time
    from storage.database import open_database
    from storage.journal import last_events
    from storage.polling import last_polls
    from storage.queries import unconfigured_gateways

    known = configuration.sources
    async with open_database(configuration.settings.database_url, "cli") as database, database.read() as conn:
        heard = await last_events(conn, known)
        polled = await last_polls(conn)
        unconfigured = await unconfigured_gateways(conn)
    faults = await asyncio.gather(*map(endpoint_faults, known.values()))
    states = [
        {
            "name": name,
            "kind": source.kind,
            "role": source.role,
            "webhook_path": f"/webhooks/{name}",
            "last_event_at": time(heard.get(name)),
            "last_poll_at": time(polled.get(name)),
            "endpoint_faults": wrong,
        }
        for (name, source), wrong in zip(known.items(), faults, strict=True)
    ]
    return states, unconfigured


async def endpoint_faults(source: "AnySource") -> list[str] | None:
    """What is wrong with our webhook endpoint at the source, a sentence each; None where it cannot be asked."""
    if not source.askable:
        return None
    from sources.polling import ApiFailed

    poller = source.poller()
    try:
        return await poller.faults()
    except ApiFailed as failure:
        return [f"its API cannot be asked: {failure}"]
    finally:
        await poller.close()


def _date(at: str | None) -> str:
    from cli.tables import NONE

    return at[:16].replace("T", " ") if at else NONE


def _endpoint(faults: list[str] | None) -> str:
    if faults is None:
        return "not asked"
    return f"{len(faults)} faults" if len(faults) > 1 else "1 fault" if faults else "well"
