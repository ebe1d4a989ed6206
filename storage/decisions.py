"""How an operator's decision gets into the ledger: as an event in the journal, like any other."""

import asyncio
import unicodedata
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import Entry
from ledger.facts import Action, Decision, OrderFact, encode, order_ref
from ledger.instants import Instant
from ledger.links import operator_links
from sources.registry import OPERATOR
from storage.database import Database, NewEvent, StorageUnavailable
from storage.entries import find_entry
from storage.facts import load_component
from storage.journal import Journal

TEXT_MAX = 1_000
NAME_MAX = 255

WAIT_SECONDS = 5.0
"""How long sync may take before the operator hears that it is stored and has no effect yet."""

_LOOK_AGAIN_SECONDS = 0.05
_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


class NoSuchEntry(Exception):  # noqa: N818 - as a sentence says it
    """There is no entry with this id, nor was there."""


class Conflict(Exception):  # noqa: N818
    """The entry is not in a state in which this can be decided; the text says why."""


class Invalid(ValueError):  # noqa: N818
    """A detail of the decision is missing or wrong; the text names it and the mend."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What an operator wants to be done."""

    entry_id: str
    """Or a former id."""
    action: Action
    actor: str
    at: Instant
    text: str = ""
    """resolve: the reason. note: the text. assign: to whom, empty for nobody."""
    store: str = ""
    order_id: str = ""
    """link: the order, with `store`."""
    until: Instant | None = None
    """snooze: None ends it."""
    seen: str | None = None
    """The fingerprint of the entry that was looked at: if it is another by now, nothing is decided."""


class Decided(NamedTuple):
    """The entry, and whether the decision has taken effect in it. If not yet, it is in the journal and will."""

    entry: Entry
    in_effect: bool


async def decide(database: Database, journal: Journal, intent: Intent) -> Decided:
    """Put the decision into the journal, and wait for its effect.

    Raises what `record` raises; and Conflict also where the entry changed at that moment, so that a resolution does
    not fit what is there now.
    """
    decision, entry = await record(database, journal, intent)
    decided = await _effect(database, decision, entry)
    if decided.in_effect and intent.action == "resolve" and decided.entry.status != "resolved":
        raise Conflict(f"the entry changed at the same moment and is {decided.entry.status}; look at it again")
    return decided


async def record(database: Database, journal: Journal, intent: Intent) -> tuple[Decision, Entry]:
    """Put the decision into the journal; it and the entry as it was.

    Raises NoSuchEntry, Invalid and Conflict. Raises StorageUnavailable, and then nothing was decided.
    """
    text = _checked_text(intent)
    async with database.read() as conn:
        entry = await find_entry(conn, intent.entry_id)
        if entry is None:
            raise NoSuchEntry("there is no entry with this id")
        if intent.seen not in (None, entry.fingerprint):
            raise Conflict("the entry has changed since you looked; look at it again")
        earlier = await load_decisions(conn, entry)
        _check_state(intent, entry, earlier)
        if intent.action == "link":
            await _check_order(conn, intent)
    decision = _decision(intent, text, entry, earlier)
    body = encode(decision).encode()
    await journal.append([NewEvent(OPERATOR, decision.id, decision.action, "operator", intent.at, {}, body)])
    return decision, entry


async def load_decisions(conn: AsyncConnection, entry: Entry) -> list[Decision]:
    """The decisions about the entry and what hangs together with it, in order."""
    found = [stored.fact for stored in await load_component(conn, [entry.home])]
    return sorted((fact for fact in found if isinstance(fact, Decision)), key=lambda d: (d.at, d.id))


def _checked_text(intent: Intent) -> str:
    match intent.action:
        case "resolve":
            return _text("reason", intent.text, TEXT_MAX)
        case "note":
            return _text("text", intent.text, TEXT_MAX)
        case "assign":
            return _text("to", intent.text, NAME_MAX) if intent.text else ""
        case "snooze" if intent.until is not None and intent.until <= intent.at:
            raise Invalid("until: is in the past; give a time to come, or none to end the snooze")
        case "link":
            _text("source", intent.store, NAME_MAX)
            _text("order_id", intent.order_id, NAME_MAX)
    return ""


def _text(name: str, text: str, length_max: int) -> str:
    text = text.strip()
    if not text:
        raise Invalid(f"{name}: is blank; write a few words")
    if len(text) > length_max:
        raise Invalid(f"{name}: is longer than {length_max} characters")
    # What people read in the audit trail must be what was written there.
    if any(_deceives(character) for character in text):
        raise Invalid(f"{name}: holds a line break or another control character; write it in one line")
    return text


def _deceives(character: str) -> bool:
    hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return hidden or unicodedata.bidirectional(character) in _BIDI_CONTROLS


def _check_state(intent: Intent, entry: Entry, earlier: list[Decision]) -> None:
    match intent.action:
        case "resolve" if not entry.is_open:
            raise Conflict(f"only a pending or unmatched entry can be resolved, and this one is {entry.status}")
        case "reopen" if entry.status != "resolved":
            raise Conflict(f"only a resolved entry can be reopened, and this one is {entry.status}")
        case "link" if not entry.gateway_refunds:
            raise Conflict("only a gateway refund can be linked, and this entry has none")
        case "unlink" if not set(_refunds(entry)) & set(operator_links(earlier)):
            raise Conflict("no operator has linked this entry; what the rules found cannot be unlinked")


async def _check_order(conn: AsyncConnection, intent: Intent) -> None:
    found = await load_component(conn, [order_ref(intent.store, intent.order_id)])
    order = intent.store, intent.order_id
    if not any(isinstance(s.fact, OrderFact) and (s.fact.store, s.fact.order_id) == order for s in found):
        raise Invalid("order_id: this storefront has told of no such order; look at its name and number")


def _decision(intent: Intent, text: str, entry: Entry, earlier: list[Decision]) -> Decision:
    linking = intent.action in ("link", "unlink")
    return Decision(
        id=uuid.uuid4().hex,
        action=intent.action,
        # Decisions count in order of time: a clock that was set back must not put this one before what it answers.
        at=max(intent.at, *(d.at + 1 for d in earlier[-1:]), 0),
        actor=intent.actor,
        text=text,
        entry_id=entry.id,
        anchor=entry.anchor,
        refunds=_refunds(entry) if linking else (),
        fingerprint=entry.fingerprint,
        store=intent.store if intent.action == "link" else "",
        order_id=intent.order_id if intent.action == "link" else "",
        until=intent.until if intent.action == "snooze" else None,
    )


def _refunds(entry: Entry) -> tuple[str, ...]:
    return tuple(f"{refund.source}/{refund.id}" for refund in entry.gateway_refunds)


async def _effect(database: Database, decision: Decision, entry: Entry) -> Decided:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while True:
        try:
            async with database.read() as conn:
                entry = await find_entry(conn, decision.entry_id) or entry
        except StorageUnavailable:
            return Decided(entry, in_effect=False)  # the decision is on disk: to fail now would have it made twice
        if decision.id in entry.decisions:
            return Decided(entry, in_effect=True)
        if loop.time() >= deadline:
            return Decided(entry, in_effect=False)
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
