"""`refund-ledger check`: is everything in place?"""

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cli.looking import Moment
from cli.opening import configuration_of, now
from ledger.instants import Instant

if TYPE_CHECKING:
    from rich.console import Console

    from sources.registry import AnySource, Configuration


@click.command(
    epilog="""\b
Examples:
  refund-ledger check
  refund-ledger check --sample refund.json --source paytrace --header 'X-Signature: 5f0c…'""",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--sample", type=click.File("rb"), metavar="FILE", help="Only show what this captured webhook becomes.")
@click.option("--source", "name", metavar="NAME", help="With --sample: the source that it is from.")
@click.option("--header", "headers", multiple=True, help="With --sample: a header that came with it, as 'Name: value'.")
@click.option("--at", type=Moment(), help="With --sample: when it arrived: 2026-11-20T10:00:00Z, 36h. Default: now.")
@click.pass_context
def check(
    ctx: click.Context,
    *,
    as_json: bool,
    sample: BinaryIO | None,
    name: str | None,
    headers: tuple[str, ...],
    at: Instant | None,
) -> None:
    """Check the configuration and every connection.

    It shows the configuration with secrets blanked, says whether the database can be written, and for each source
    what to register, what can be done with the keys that it has, and what is wrong with our webhook endpoint over
    there. Where customers are told, it logs in to the mail server. Exit status 1 where something does not work.

    With --sample it shows what one captured webhook would become, of any kind of source: its identity, what it says
    or why that is not understood, and whether its signature holds. Nothing is changed.
    """
    from sources.registry import blanked

    configuration = configuration_of(ctx.obj)
    if sample:
        from cli.sample import check_sample, headers_of, is_well, show

        found = check_sample(configuration, name, sample, headers_of(headers), now() if at is None else at)
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            show(found)
        ctx.exit(0 if is_well(found) else 1)
    if name or headers or at:
        raise click.UsageError("--source, --header and --at go with --sample")
    database = asyncio.run(_database(configuration.settings.database_url))
    findings: dict[str, Any] = {
        "configuration": blanked(configuration),
        "sources": asyncio.run(_sources(configuration)),
        "database": database,
        "mail_server": asyncio.run(_mail_server(configuration)),
        "processes": asyncio.run(_processes(configuration)),
        "notes": _notes(configuration) + database.pop("unconfigured"),
    }
    if as_json:
        click.echo(json.dumps(findings, indent=2))
    else:
        _print(findings)
    wrong = [fault for source in findings["sources"] for fault in source["endpoint_faults"] or ()]
    wrong += [mail["problem"]] if (mail := findings["mail_server"]) and mail["problem"] else []
    ctx.exit(0 if database["writable"] and not wrong else 1)


async def _database(url: str) -> dict[str, Any]:
    from cli.fetching import unconfigured_sentence
    from storage.database import StorageUnavailable, open_database
    from storage.migrate import HEAD
    from storage.queries import unconfigured_gateways

    kind = "SQLite" if url.startswith("sqlite:") else "PostgreSQL"
    found: dict[str, Any] = {"kind": kind, "writable": False, "schema": None, "problem": None, "note": None,
                             "unconfigured": []}  # fmt: skip
    try:
        async with open_database(url, "cli") as database:
            await database.check_writable()
            async with database.read() as conn:
                found["unconfigured"] = [unconfigured_sentence(one) for one in await unconfigured_gateways(conn)]
        found |= {"writable": True, "schema": HEAD}
    except StorageUnavailable as error:
        found["problem"] = str(error)
    if kind == "SQLite":
        from storage.sqlite import version_note

        found["note"] = version_note()
    return found


async def _mail_server(configuration: "Configuration") -> dict[str, Any] | None:
    """Whether it can be reached and takes our login; None where no customer is told."""
    notice = configuration.settings.customer_notice
    if notice is None:
        return None
    from sync.mail import NotTaken, log_in

    found: dict[str, Any] = {"address": f"{notice.smtp_host}:{notice.port}", "problem": None}
    try:
        await log_in(notice)
    except NotTaken as refusal:
        found["problem"] = str(refusal)
    return found


async def _processes(configuration: "Configuration") -> list[dict[str, Any]]:
    """Which of the three answer at their addresses."""
    import httpx

    settings = configuration.settings
    binds = {"listener": settings.public_bind, "sync": settings.sync_bind, "console": settings.console_bind}
    processes = []
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        for name, bind in binds.items():
            address = str(bind).replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
            try:
                runs = (await client.get(f"http://{address}/healthz")).status_code == 200
            except httpx.HTTPError:
                runs = False
            processes.append({"name": name, "address": str(bind), "runs": runs})
    return processes


async def _sources(configuration: "Configuration") -> list[dict[str, Any]]:
    from cli.fetching import endpoint_faults

    known = configuration.sources.values()
    faults = await asyncio.gather(*map(endpoint_faults, known))
    return [{**_source(source), "endpoint_faults": wrong} for source, wrong in zip(known, faults, strict=True)]


def _source(source: "AnySource") -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "role": source.role,
        "webhook_path": f"/webhooks/{source.name}",
        "events": [name for name in source.used_events if not name.startswith("v1.")],
        "api": "asked" if source.askable else "not asked: webhooks only" if source.used_events else "not asked",
    }


def _notes(configuration: "Configuration") -> list[str]:
    """What is no mistake, and yet seldom what is meant."""
    roles = {source.role for source in configuration.sources.values()}
    notes = [
        f"No {role} is configured: every refund of the other side will stay unmatched."
        for role in ("gateway", "storefront")
        if role not in roles
    ]
    if configuration.settings.customer_notice:
        notes += [
            f"{source.name} cannot be asked: its customers are told only where its events carry their address."
            for source in configuration.sources.values()
            if source.role == "storefront" and not source.askable
        ]
    if not configuration.settings.api_tokens:
        notes.append("No api_tokens: nobody can use the console. `refund-ledger token` makes one.")
    return notes


def _print(findings: dict[str, Any]) -> None:
    from cli.tables import plain, simple_table, terminal

    console = terminal()
    configuration = findings["configuration"]
    own, tokens = configuration.pop("sources"), configuration.pop("api_tokens")
    lines = list(_lines(configuration))
    lines += [(f"  api_tokens.{name}", f"{token['role']}, {token['token_hash']}") for name, token in tokens.items()]
    console.print("Configuration", style="bold")
    console.print(simple_table(("", ""), lines, heads_shown=False))
    for source in findings["sources"]:
        console.print(f"\nSource {source['name']}", style="bold")
        settings = own[source["name"]]
        lines = [(f"  {key}", _setting(value)) for key, value in settings.items() if value not in (None, [], {})]
        if source["events"]:  # else it is polled, and sends nothing
            lines += [("  to register", f"POST https://your.host{source['webhook_path']}")]
            lines += [("  events used", ", ".join(source["events"]))]
        lines += [("  its API", source["api"])]
        console.print(simple_table(("", ""), lines, heads_shown=False))
    database = findings["database"]
    console.print("\nConnections", style="bold")
    works = f"{database['kind']}: can be written, schema {database['schema']}"
    _mark(console, database["writable"], works if database["writable"] else database["problem"])
    for source in findings["sources"]:
        if source["endpoint_faults"] == []:
            _mark(console, good=True, text=f"{source['name']}: its webhook endpoint and our key are as they should be")
        for fault in source["endpoint_faults"] or ():
            _mark(console, good=False, text=f"{source['name']}: {plain(fault)}")
    if mail := findings["mail_server"]:
        _mark(console, not mail["problem"], f"mail server at {mail['address']}: {mail['problem'] or 'lets us in'}")
    for process in findings["processes"]:
        runs = "answers" if process["runs"] else "does not answer"
        _mark(console, process["runs"] or None, f"{process['name']}: {runs} at {process['address']}")
    for note in filter(None, [database["note"], *findings["notes"]]):
        _mark(console, None, plain(note))


def _mark(console: "Console", good: bool | None, text: str) -> None:  # noqa: FBT001 - what the mark says
    """A line that begins with how good it is; None is worth knowing, and no fault."""
    from rich.text import Text

    mark, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "yellow")}[good]
    console.print(Text.assemble((f"  {mark} ", style), text))


def _lines(table: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A line for each setting, also of the tables in it."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{above}{key}.")
        elif value not in (None, [], ()):
            yield f"  {above}{key}", _setting(value)


def _setting(value: object) -> str:
    """The value much as it is written in the file, without what is not given."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(_inner, value))
        case dict():
            return ", ".join(f"{key} = {_inner(item)}" for key, item in value.items() if item not in (None, ""))
    return str(value)


def _inner(value: object) -> str:
    shown = _setting(value)
    return f"[{shown}]" if isinstance(value, list) else f"{{ {shown} }}" if isinstance(value, dict) else shown
