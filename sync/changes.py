"""What turns the entries that stand into those that the facts now make, and the lines of history that say so."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from ledger.entries import Entry
from ledger.facts import Decision
from ledger.instants import Instant
from storage.entries import HistoryLine


class EntryChange(Struct, frozen=True, gc=False):
    """An entry that is new (`old` None), changed, or gone (`new` None)."""

    old: Entry | None
    new: Entry | None
    successor: str | None = None
    """The entry that answers for the id of one that is gone."""


def changes_of(standing: Mapping[str, Entry], derived: Iterable[Entry]) -> list[EntryChange]:
    """What turns the standing entries of a component into the derived ones."""
    derived = list(derived)
    changes = [EntryChange(standing.get(e.id), e) for e in derived if standing.get(e.id) != e]
    current = {e.id for e in derived}
    gone = [e for e in standing.values() if e.id not in current]
    return changes + [EntryChange(e, None, _successor(e, derived)) for e in gone]


def _successor(gone: Entry, derived: list[Entry]) -> str | None:
    """The entry that has a member of the one that is gone; else, of the same order, the nearest in time."""
    members = _members(gone)
    ranked = [
        (not members & _members(entry), abs(entry.opened_at - gone.opened_at), entry.id)
        for entry in derived
        if members & _members(entry) or (gone.order_id and (entry.store, entry.order_id) == (gone.store, gone.order_id))
    ]
    return min(ranked)[2] if ranked else None


def history_of(
    change: EntryChange, decisions: Mapping[str, Decision], causes: Iterable[int], now: Instant
) -> list[HistoryLine]:
    """The change as lines of history: one for each decision in it that is among the new `decisions`, else one."""
    entry = change.new or change.old
    assert entry is not None
    before, after = _shown(change.old), _shown(change.new)
    what = {name: [before.get(name), after.get(name)] for name in after | before if before.get(name) != after.get(name)}
    new: list[Decision | None] = [decisions[d] for d in entry.decisions if d in decisions] if change.new else []
    ending = f"Continued as entry {change.successor}." if change.successor else "Nothing is left of it."
    explanation = entry.explanation if change.new else ending
    lines = []
    for decision in new or [None]:
        if decision and decision.text:
            what = what | {decision.action: [None, decision.text]}
        lines.append(
            HistoryLine(
                entry.id,
                now,
                what,
                entry.status if change.new else "",
                (entry.reason or "") if change.new else "",
                explanation,
                tuple(causes),
                decision.actor if decision else None,
                decision.id if decision else None,
            )
        )
        what = {}
    return lines


def _members(entry: Entry) -> set[tuple[str, str]]:
    return {(r.source, r.id) for r in entry.gateway_refunds} | {("", r.id) for r in entry.storefront_refunds}


def _shown(entry: Entry | None) -> dict[str, Any]:
    """What a reader of the history wants to see change."""
    if entry is None:
        return {}
    return {
        "status": entry.status,
        "reason": entry.reason,
        "store": entry.store,
        "order_id": entry.order_id,
        "gateway_amount": entry.gateway_amount,
        "storefront_amount": entry.storefront_amount,
        "expected_amount": entry.expected_amount,
        "verified": entry.verified,
        "gateway_refunds": [f"{r.source}/{r.id} {r.status}" for r in entry.gateway_refunds],
        "storefront_refunds": [r.id for r in entry.storefront_refunds],
        "assigned_to": entry.assigned_to,
        "snoozed_until": entry.snoozed_until,
    }
