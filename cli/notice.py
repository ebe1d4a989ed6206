"""What customers are told: to see it before they do, to try the mail server, to look after what was not sent."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.opening import configuration_of, now, with_database

if TYPE_CHECKING:
    from email.message import EmailMessage

    from config.notices import CustomerNotice
    from sources.registry import Configuration
    from storage.database import Database
    from storage.notices import CustomerNoticeLine
    from sync.mail import Told

LISTED_MAX = 1_000

_store = click.option("--store", metavar="NAME", default="", help="As for the customers of this storefront.")


@click.group()
def notice() -> None:
    """See messages to customers, and try the mail server."""


@notice.command(
    epilog="""\b
Examples:
  refund-ledger notice preview --sample
  refund-ledger notice preview 3f2c9a1b     what the customer of this entry is told""",
)
@click.argument("entry", required=False)
@click.option("--sample", is_flag=True, help="Of a refund that does not exist.")
@_store
@click.pass_obj
def preview(path: Path | None, *, entry: str | None, sample: bool, store: str) -> None:
    """Show the message that the customer of ENTRY gets, by its id or the beginning of it. Nothing is sent."""
    if (entry is None) != sample:
        raise click.UsageError("give an entry, or --sample")
    configuration = configuration_of(path)
    settings = _settings(configuration)
    if entry is None:
        _show(_sample_message(settings, store, "customer@example.com"))
    else:
        with_database(path, lambda database: _preview(database, configuration, settings, entry))


@notice.command()
@click.option("--to", required=True, metavar="ADDRESS", help="Where to send it.")
@_store
@click.pass_obj
def test(path: Path | None, *, to: str, store: str) -> None:
    """Send a sample message, through the configured mail server."""
    from config.notices import ADDRESS

    if not ADDRESS.fullmatch(to):
        raise click.BadParameter("write an address, as you@example.com", param_hint="--to")
    settings = _settings(configuration_of(path))
    from sync.mail import NotCertain, NotTaken, send

    try:
        asyncio.run(send(_sample_message(settings, store, to), settings))
    except NotTaken as failure:
        raise click.ClickException(f"It was not sent: {failure}.") from failure
    except NotCertain as failure:
        raise click.ClickException(f"It may have been sent: {failure}.") from failure
    click.echo("The mail server took it.")


@notice.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were sent.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.pass_obj
def listing(path: Path | None, *, every: bool, as_json: bool) -> None:
    """List the messages that were not sent, or perhaps, the newest first, at most 1,000."""
    from ledger.instants import to_rfc3339
    from storage.notices import STATES, list_customer_notices

    async def work(database: "Database") -> "list[CustomerNoticeLine]":
        async with database.read() as conn:
            return await list_customer_notices(conn, [s for s in STATES if every or s != "sent"], LISTED_MAX)

    found = with_database(path, work)
    if as_json:
        shown = [
            {"source": n.source, "refund_id": n.refund_id, "state": n.state, "since": to_rfc3339(n.changed_at),
             "attempts": n.attempts, "reason": n.reason or None}
            for n in found
        ]  # fmt: skip
        click.echo(json.dumps({"notices": shown}, indent=2))
    elif not found:
        click.echo("There are none.")
    else:
        from cli.tables import date, simple_table, terminal

        rows = [(n.source, n.refund_id, n.state, date(n.changed_at), n.attempts, n.reason) for n in found]
        terminal().print(simple_table(("Gateway", "Refund", "State", "Since (UTC)", "Tries", "Why"), rows))


def _settings(configuration: "Configuration") -> "CustomerNotice":
    settings = configuration.settings.customer_notice
    if settings is None:
        raise click.ClickException("There is no [customer_notice] in the configuration: no customer is told.")
    return settings


async def _preview(database: "Database", configuration: "Configuration", settings: "CustomerNotice", name: str) -> None:
    from cli.finding import entry_named
    from sync.announce import is_told
    from sync.customers import addressed, asking, find_refund
    from sync.mail import NotTaken, Told, compose

    async with database.read() as conn:
        entry = await entry_named(conn, name)
        found = [await find_refund(conn, refund.source, refund.id) for refund in entry.gateway_refunds]
    if not found:
        raise click.ClickException("The entry has no gateway refund: there is nothing to tell.")
    for one in filter(None, found):
        told, to = Told(entry.store or "", entry.order_id or "?", one.refund), "customer@example.com"
        try:
            async with asking(configuration.sources) as poller:
                told, to = await addressed(one, configuration.sources, poller, now())
        except NotTaken as reason:
            click.echo(f"Not yet: {reason}.")
        if not is_told(one.refund, settings):
            click.echo(f"Not told: a {one.refund.kind} of {one.refund.source}, {one.refund.status}.")
        _show(compose(settings, told, to, now()))


def _sample_message(settings: "CustomerNotice", store: str, to: str) -> "EmailMessage":
    from sync.mail import compose

    return compose(settings, _sample(store), to, now())


def _sample(store: str) -> "Told":
    from ledger.entries import GatewayRefund
    from sync.mail import Told

    return Told(store, "1001", GatewayRefund("sample", "sample", "refund", "succeeded", 1250, "GBP", now()))


def _show(message: "EmailMessage") -> None:
    """As its reader sees it; of the address only who has to know it can tell whose it is."""
    from cli.tables import plain

    to = str(message["To"])
    masked = f"{to[0]}…@{to.partition('@')[2]}"
    for head, value in (("From", message["From"]), ("To", masked), ("Subject", message["Subject"])):
        click.echo(f"{head}: {plain(str(value))}")
    click.echo()
    for line in message.get_content().splitlines():
        click.echo(plain(line))
