"""`refund-ledger check --sample`: what a captured webhook would become. Nothing is changed."""

import asyncio
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ledger.facts import Fact
from ledger.instants import Instant

if TYPE_CHECKING:
    from sources.base import Delivery, Message
    from sources.registry import AnySource, Configuration

_AMOUNTS = ("amount", "authorised", "captured", "total", "refunded")
_TIMES = ("at", "as_of", "arrived_at", "placed_at")


def headers_of(lines: tuple[str, ...]) -> dict[str, str]:
    """The headers of these lines, as the listener sees them: the first of one name counts."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter("write a header as it was sent, as 'X-Signature: 5f0c…'", param_hint="--header")
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def check_sample(
    configuration: "Configuration", name: str | None, file: BinaryIO, headers: dict[str, str], at: Instant
) -> dict[str, Any]:
    """What one delivery would become, as JSON shows it; `at` is when it arrived."""
    from sources.base import Delivery

    source = _source(configuration, name)
    if not source.used_events:
        raise click.ClickException(f"{source.name} ({source.kind}) is polled: the listener takes no webhook from it.")
    body = file.read(configuration.settings.max_body + 1)
    if len(body) > configuration.settings.max_body:
        raise click.ClickException("The sample is larger than max_body: the listener would answer 413.")
    delivery = Delivery(headers, body, at)
    return {
        "source": source.name,
        "kind": source.kind,
        "authentic": _authentic(source, delivery),
        "messages": [_message(source, message, at) for message in source.messages(delivery)],
    }


def is_well(found: dict[str, Any]) -> bool:
    """Whether nothing of it would be refused or set aside."""
    return found["authentic"] is not False and not any(message["reason"] for message in found["messages"])


def show(found: dict[str, Any]) -> None:
    """For people."""
    from cli.tables import plain, simple_table, terminal

    console = terminal()
    proof = {
        True: "holds",
        False: "does not hold: the listener would answer 401. Compare header and secret; the file has to be the body "
        "byte for byte; where a time is signed, say with --at when it arrived",
        None: "not proven: give the headers that came with it, each with --header",
    }[found["authentic"]]
    console.print(f"Source {found['source']} ({found['kind']})", style="bold")
    console.print(simple_table(("", ""), [("  signature", proof)], heads_shown=False))
    for message in found["messages"]:
        console.print(f"\nEvent {plain(message['type'] or '?')}, {message['verdict']}", style="bold")
        lines = [("  identity", message["key"] or "none: it is never a duplicate")]
        lines += [("  set aside", message["reason"])] if message["reason"] else []
        lines += [("  to be asked", about) for about in message["asks"]]
        for fact in message["facts"]:
            lines += [(f"  {name}", _text(value)) for name, value in fact.items() if value not in (None, [], False)]
        if message["verdict"] == "used" and not message["reason"] and not message["facts"]:
            lines.append(("  says", "nothing by itself"))
        console.print(simple_table(("", ""), lines, heads_shown=False))
    if not found["messages"]:
        console.print("It holds no event: the listener would answer ignored.")


def _source(configuration: "Configuration", name: str | None) -> "AnySource":
    known = configuration.sources
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        said = "choose one" if name is None else f"{name!a} is none"
        raise click.BadParameter(f"{said} of {', '.join(known) or 'no sources'}", param_hint="--source")
    return known[name]


def _authentic(source: "AnySource", delivery: "Delivery") -> bool | None:
    """None where it cannot be said: the body alone does not prove it, and no header was given."""
    from sources.base import NotReady

    async def prepared() -> bool:
        await source.prepare(delivery)
        return source.authentic(delivery)

    try:
        return asyncio.run(prepared()) or (False if delivery.headers else None)
    except NotReady as failure:
        raise click.ClickException(f"The signature cannot be checked now: {failure}.") from failure


def _message(source: "AnySource", message: "Message", at: Instant) -> dict[str, Any]:
    from sources.base import Event, NotUnderstood

    shown: dict[str, Any] = {"key": message.key, "type": message.type, "verdict": message.verdict}
    reason, facts, asks = None, [], []
    if message.verdict != "ignored":
        event = Event(0, source.name, message.key or "", message.type, message.body, at)
        try:
            told = source.interpret(event)
            facts = [_fact(fact) for fact in told]
            asks = source.questions(event, told) if source.askable else []
        except NotUnderstood as error:
            reason = str(error)
    return shown | {"reason": reason, "facts": facts, "asks": asks}


def _fact(fact: Fact) -> dict[str, Any]:
    """A fact with amounts in major units and times as RFC 3339."""
    from msgspec.structs import asdict

    from ledger.money import to_decimal
    from ledger.present import time

    told: dict[str, Any] = {"fact": type(fact).__name__.removesuffix("Fact").lower(), **asdict(fact)}
    for name, value in told.items():
        if name in _AMOUNTS and value is not None:
            told[name] = to_decimal(value, told["currency"] or "")
        elif name in _TIMES:
            told[name] = time(value)
        elif isinstance(value, tuple):
            told[name] = list(value)
    return told


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
