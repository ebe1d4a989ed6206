"""The finance report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.opening import configuration_of, now, with_database

if TYPE_CHECKING:
    from ledger.report import Report

_file = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.command(
    epilog="""\b
Examples:
  refund-ledger report                  the last month that is over
  refund-ledger report --month 2026-11 --timezone Europe/London
  refund-ledger report --month 2026-11 --csv november.csv --html november.html
A file named - is standard output.""",
)
@click.option("--month", metavar="YYYY-MM", help="Which month. Default: the last one that is over.")
@click.option("--timezone", metavar="NAME", help="Where a month begins at midnight. Default: report_timezone, or UTC.")
@click.option("--csv", "csv_file", type=_file, metavar="FILE", help="Write it as CSV.")
@click.option("--html", "html_file", type=_file, metavar="FILE", help="Write it as a page to print or send.")
@click.option("--json", "as_json", is_flag=True, help="Print what GET /api/v1/report answers.")
@click.pass_obj
def report(
    path: Path | None,
    *,
    month: str | None,
    timezone: str | None,
    csv_file: Path | None,
    html_file: Path | None,
    as_json: bool,
) -> None:
    """Report a month: what was recorded, returned, and is open.

    There is a line for each store, gateway and currency. A refund counts in the month in which its own side made it:
    the gateway returned it, the storefront recorded it.
    """
    from console.report import report_csv, report_html
    from ledger.report import report_json

    made = _made(path, month, timezone)
    if csv_file:
        _write(csv_file, report_csv(made))
    if html_file:
        _write(html_file, report_html(made, now()))
    if as_json:
        click.echo(json.dumps(report_json(made), indent=2))
    elif not (csv_file or html_file):
        _print(made)


def _made(path: Path | None, month: str | None, timezone: str | None) -> "Report":
    from config.values import time_zone
    from console.report import last_month, month_report
    from ledger.report import bounds

    zone = timezone or configuration_of(path).settings.report_timezone
    wrong = "--timezone"
    try:
        chosen = month or last_month(now(), zone)
        time_zone(zone)
        wrong = "--month"
        bounds(chosen, time_zone(zone))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=wrong) from None
    return with_database(path, lambda database: month_report(database, chosen, zone))


def _write(file: Path, text: str) -> None:
    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8", newline="")


def _print(made: "Report") -> None:
    from cli.tables import report_table, terminal

    click.echo(f"Refunds in {made.month}, {made.timezone}")
    if not made.lines:
        click.echo("Nothing was recorded or returned, and no exception was opened.")
        return
    terminal().print(report_table(made))
