"""What the demonstration shows."""

import shlex
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cli.demo.site import Site
from cli.demo.story import Told
from cli.opening import as_typed
from cli.tables import exceptions, money
from ledger.entries import Entry
from ledger.instants import SECOND, Instant

METRICS_SECONDS = 8
"""Gauges are refreshed in the background; so long the screen waits for them to show the ledger."""

SERIES_MAX = 5


def title(console: Console) -> None:
    """What is going to happen."""
    console.print(
        Text.assemble(("Refund Ledger", "bold"), "  a day and a half at an invented print shop, on real processes")
    )
    console.print()


def done(console: Console, text: str) -> None:
    """A step that went well."""
    console.print(Text.assemble(("  ✓ ", "green"), text))


def sent(told: Told, answers: Counter[str]) -> str:
    """What was sent, in one line."""
    return (
        f"{answers.total()} webhooks in disorder, {answers['duplicate']} twice, {answers['refused']} forged;"
        f" {told.lost} more got lost"
    )


def ledger(console: Console, entries: list[Entry], now: Instant) -> None:
    """The whole ledger: what agrees in sums, the rest one by one."""
    by_status: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_status[entry.status].append(entry)
    _heading(
        console,
        f"What agrees: {len(by_status['matched'])} refunds",
        "green",
        "made in the gateway and recorded in the shop",
    )
    console.print(_sums(by_status["matched"]))
    console.print(_footnote(by_status["matched"]), style="dim")
    _heading(console, f"What does not: {len(by_status['unmatched'])}", "red", "each one needs a person")
    console.print(exceptions(by_status["unmatched"], now, console.width))
    _heading(console, f"What may yet agree: {len(by_status['pending'])}", "yellow", "one side has time left to follow")
    console.print(exceptions(by_status["pending"], now, console.width))
    _heading(
        console, f"What came to nothing: {len(by_status['closed'])}", "dim", "no money moved, nothing waits for it"
    )
    console.print(exceptions(by_status["closed"], now, console.width))


def metrics(console: Console, site: Site, unmatched: int) -> None:
    """Where the metrics are, and some of them as they are now."""
    _heading(console, "Metrics", "cyan", "for Prometheus, live")
    webhooks = _samples(site, "listener", "refund_ledger_webhooks_total")
    deadline = time.monotonic() + METRICS_SECONDS
    while True:
        found = _samples(site, "sync", "refund_ledger_unmatched_refunds", "refund_ledger_unmatched_amount")
        if time.monotonic() > deadline or unmatched == sum(v for n, v in found if "unmatched_refunds" in n):
            break
        time.sleep(0.2)
    for role, samples in (("listener", webhooks), ("sync", found)):
        console.print(f"  {site.urls[role]}/metrics", style="bold", soft_wrap=True)
        shown = [(name, value) for name, value in samples if value]
        for name, value in shown[:SERIES_MAX]:
            console.print(f"    {name} {value:g}", soft_wrap=True)
        if len(shown) > SERIES_MAX:
            console.print(f"    and {len(shown) - SERIES_MAX} more of these", style="dim")


def whats_next(console: Console, site: Site) -> None:
    """How to look further, and how to go on."""
    command = as_typed()
    config = shlex.quote(str(site.configuration))
    when = (
        "in another terminal, while this one is up" if console.is_terminal else "on a terminal the demo stays up for it"
    )
    _heading(console, "Try it", "cyan", when)
    curl = f"curl -s -H 'Authorization: Bearer {site.api_token}'"
    for line in (
        f"{site.urls['console']}   in a browser; the token is {site.api_token}",
        f"{curl} '{site.urls['console']}/api/v1/entries?status=unmatched'",
        f"export REFUND_LEDGER_CONFIG={config}",
        f"{command} entries --status unmatched",
        f"{command} show 10240",
    ):
        console.print(f"  {line}", soft_wrap=True)
    _heading(console, "Go on", "cyan", "with your own Stripe and Infigo")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("  make run", "writes refund-ledger.toml if there is none, and starts the same three processes on it")
    table.add_row("  docs/sources/", "how to connect each system, step by step")
    table.add_row(f"  {command} --help", "everything else")
    console.print(table)


def _heading(console: Console, text: str, style: str, more: str) -> None:
    console.print()
    console.print(Text.assemble((text, f"bold {style}"), (f"  {more}", "dim")))


def _sums(matched: Iterable[Entry]) -> Table:
    by_currency: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in matched:
        by_currency[entry.currency].append(entry)
    right = [Column(head, justify="right") for head in ("Refunds", "Given back", "Lag: half within", "longest")]
    table = Table(Column("Currency"), *right, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for currency, entries in sorted(by_currency.items()):
        lags = [entry.lag or 0 for entry in entries]
        total = sum(entry.gateway_amount or 0 for entry in entries)
        half, longest = _lag(int(median(lags))), _lag(max(lags))
        table.add_row(currency, str(len(entries)), money(total, currency), half, longest)
    return table


def _footnote(matched: list[Entry]) -> str:
    sums = sum(len(e.gateway_refunds) + len(e.storefront_refunds) > 2 for e in matched)
    unverified = sum(not e.verified for e in matched)
    first = Counter(e.first_side for e in matched)
    return (
        f"{first['gateway']} were made first, {first['storefront']} recorded first; {sums} add up from several;"
        f" {unverified} agree on a status alone, without an amount."
    )


def _lag(microseconds: int) -> str:
    minutes = microseconds // (60 * SECOND)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _samples(site: Site, role: str, *names: str) -> list[tuple[str, float]]:
    """The samples of these metrics, each with its labels as Prometheus writes them."""
    text = site.client.get(f"{site.urls[role]}/metrics").text
    found = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                found.append((f"{sample.name}{{{labels}}}", sample.value))
    return found
