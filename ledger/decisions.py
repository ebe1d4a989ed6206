"""What operators decided, laid over the entries that the rules made."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ledger.entries import Entry, Resolution
from ledger.facts import Decision


def apply_decisions(entries: list[Entry], decisions: Iterable[Decision]) -> list[Entry]:
    """The entries, each with the decisions that concern it."""
    mine: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in sorted(decisions, key=lambda d: (d.at, d.id)):
        if entry := _concerned(decision, entries):
            mine[entry.id].append(decision)
    return [_decided(entry, mine[entry.id]) if entry.id in mine else entry for entry in entries]


def _concerned(decision: Decision, entries: list[Entry]) -> Entry | None:
    """The entry that has the member now by which the operator's entry was named; else one of the same order."""
    kind, *names = decision.anchor
    for entry in entries:
        if entry.anchor == decision.anchor:
            return entry
        if kind == "refund" and any([r.source, r.id] == names for r in entry.gateway_refunds):
            return entry
        if kind == "recorded" and any(r.id == names[2] for r in entry.storefront_refunds):
            return entry
    same = [e for e in entries if kind != "refund" and [e.store, e.order_id] == names[:2]]
    return min(same, key=lambda e: (e.opened_at, e.id), default=None)


def _decided(entry: Entry, decisions: list[Decision]) -> Entry:
    resolution: Resolution | None = None
    assigned, snoozed = entry.assigned_to, entry.snoozed_until
    for decision in decisions:
        match decision.action:
            case "resolve" if decision.fingerprint == entry.fingerprint:
                resolution = Resolution(decision.actor, decision.text, decision.at)
            case "reopen":
                resolution = None
            case "assign":
                assigned = decision.text or None
            case "snooze":
                snoozed = decision.until
            case _:
                pass
    entry = replace(entry, decisions=tuple(d.id for d in decisions), assigned_to=assigned, snoozed_until=snoozed)
    # What came to agree, or to nothing, says so: only what is open can be closed by a person.
    if resolution and entry.status in ("pending", "unmatched"):
        return replace(entry, status="resolved", due_at=None, resolution=resolution)
    return entry
