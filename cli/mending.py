"""Keeping the ledger right: the schema, the events that could not be understood, the proof by replay."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.opening import configuration_of, with_database

if TYPE_CHECKING:
    from storage.database import Database
    from storage.dead_letters import DeadLetter
    from sync.replay import Difference, Progress, ReplayReport

LISTED_MAX = 1_000
SHOWN_MAX = 20
SAID_EVERY = 10_000


@click.command()
@click.pass_obj
def migrate(path: Path | None) -> None:
    """Create the database, or bring it up to date.

    Every process does so at its start; this is for those who want it done before.
    """
    configuration = configuration_of(path)
    from storage.database import migrate as migrated

    asyncio.run(migrated(configuration.settings.database_url))
    click.echo("The database is up to date.")


_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")


@click.group("dead-letters", invoke_without_command=True)
@_AS_JSON
@click.pass_context
def dead_letters(ctx: click.Context, *, as_json: bool) -> None:
    """List events that were not understood, or try them again.

    They were authentic, so their senders got their 2xx; each is kept with the reason until it is understood.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(listing, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"write --json behind {ctx.invoked_subcommand}")


@dead_letters.command("list")
@_AS_JSON
@click.pass_obj
def listing(path: Path | None, *, as_json: bool) -> None:
    """List them, the oldest first, at most 1,000."""
    from ledger.instants import to_rfc3339
    from storage.dead_letters import list_dead_letters

    async def work(database: "Database") -> "list[DeadLetter]":
        async with database.read() as conn:
            return await list_dead_letters(conn, LISTED_MAX)

    found = with_database(path, work)
    if as_json:
        shown = [
            {
                "id": d.journal_id,
                "source": d.source,
                "type": d.type,
                "received_at": to_rfc3339(d.received_at),
                "reason": d.reason,
                "set_aside_at": to_rfc3339(d.at),
                "attempts": d.attempts,
            }
            for d in found
        ]
        click.echo(json.dumps({"dead_letters": shown}, indent=2))
    elif not found:
        click.echo("There are none: every event was understood.")
    else:
        from cli.tables import date, simple_table, terminal

        rows = [(d.journal_id, d.source, d.type, date(d.received_at), d.attempts, d.reason) for d in found]
        terminal().print(simple_table(("Id", "Source", "Type", "Received (UTC)", "Tries", "Reason"), rows))


@dead_letters.command()
@click.argument("ids", nargs=-1, type=click.IntRange(1, 2**63 - 1))
@click.option("--all", "every", is_flag=True, help="All of them, the oldest 1,000.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON which were, and which ids are of no dead letter.")
@click.pass_obj
def redrive(path: Path | None, *, ids: tuple[int, ...], every: bool, as_json: bool) -> None:
    """Have IDS interpreted again, by the sync process."""
    if bool(ids) == every:
        raise click.UsageError("give the ids to redrive, or --all")
    from storage.dead_letters import list_dead_letters
    from storage.dead_letters import redrive as redriven

    async def work(database: "Database") -> list[int]:
        async with database.write() as conn:
            chosen = [d.journal_id for d in await list_dead_letters(conn, LISTED_MAX)] if every else list(ids)
            return await redriven(conn, chosen)

    done = with_database(path, work)
    unknown = sorted(set(ids) - set(done))
    click.echo(json.dumps({"redriven": done, "unknown": unknown}) if as_json else f"{len(done)} back in the inbox.")
    if unknown:
        raise click.ClickException(f"Not a dead letter: {', '.join(map(str, unknown))}.")


@click.command(
    epilog="""\b
Examples:
  refund-ledger replay                  does the ledger follow from its facts?
  refund-ledger replay --from-bodies    and the facts from the events as they arrived?
  refund-ledger replay --from-bodies --apply
Exit status: 0 no difference (or taken over), 3 there are differences.""",
)
@click.option("--from-bodies", is_flag=True, help="Interpret every event anew, instead of taking the stored facts.")
@click.option("--apply", is_flag=True, help="Take the differences over, as history.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def replay(ctx: click.Context, *, from_bodies: bool, apply: bool, as_json: bool) -> None:
    """Build the ledger anew beside the standing one and compare.

    It proves that the ledger is what its evidence says; after a change of the configuration, as of grace_period, it
    shows what that changes. The processes may go on running meanwhile. Of an event whose body was cut or that was
    deleted (retention), --from-bodies can prove nothing: its stored facts stand.
    """
    from sync.replay import replay as replayed

    configuration = configuration_of(ctx.obj)
    with _progress() as progress:
        report = asyncio.run(replayed(configuration, from_bodies=from_bodies, apply=apply, progress=progress))
    if as_json:
        click.echo(json.dumps(_report_json(report), indent=2))
    else:
        _show(report)
    ctx.exit(3 if report.differences and not report.applied else 0)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Shows what is being done; on a terminal in one moving line, elsewhere a line for every 10,000."""
    from rich.console import Console

    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        said: Counter[str] = Counter()

        def say(what: str, done: int) -> None:
            if done >= said[what] + SAID_EVERY:
                said[what] = done
                click.echo(f"{what}: {done:,}", err=True)

        yield say
        return
    with errors.status("Replaying") as status:
        yield lambda what, done: status.update(f"{what}: {done:,}")


def _show(report: "ReplayReport") -> None:
    from cli.tables import simple_table, terminal

    click.echo(f"{report.compared} compared, {len(report.differences)} differ.")
    if report.cut:
        click.echo(f"{report.cut} events have no body any more (retention): their stored facts stand, unproven.")
    if report.reinterpreted:
        click.echo(f"{report.reinterpreted} events say something else now than what was stored of them.")
    if report.waiting:
        click.echo(f"{report.waiting} events or marks are not worked off yet: ask again when sync is done.")
    rows = [row for difference in report.differences[:SHOWN_MAX] for row in _fields_that_differ(difference)]
    if rows:
        terminal().print(simple_table(("Entry", "Field", "Standing", "Rebuilt"), rows))
    if len(report.differences) > SHOWN_MAX:
        click.echo(f"These are the first {SHOWN_MAX}; --json has all of them.")
    if report.applied:
        click.echo("The ledger has taken this over.")


def _fields_that_differ(difference: "Difference") -> list[tuple[str, ...]]:
    from ledger.present import entry_json

    standing, rebuilt = difference.standing, difference.rebuilt
    if standing is None or rebuilt is None:
        return [(difference.id[:8], "", *("there" if entry else "not there" for entry in (standing, rebuilt)))]
    old, new = entry_json(standing), entry_json(rebuilt)
    changed = [name for name in old if old[name] != new[name]]
    return [(difference.id[:8], name, str(old[name]), str(new[name])) for name in changed]


def _report_json(report: "ReplayReport") -> dict[str, Any]:
    from ledger.present import entry_json

    return {
        "compared": report.compared,
        "cut": report.cut,
        "reinterpreted": report.reinterpreted,
        "waiting": report.waiting,
        "applied": report.applied,
        "differences": [
            {
                "id": d.id,
                "standing": d.standing and entry_json(d.standing),
                "rebuilt": d.rebuilt and entry_json(d.rebuilt),
            }
            for d in report.differences
        ],
    }
