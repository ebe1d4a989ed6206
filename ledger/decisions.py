"""What operators decided, laid over the entries that the rules made."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from ledger.entries import Entry, Resolution
from ledger.facts import Decision
from ledger.judge import fingerprints_of


def apply_decisions(entries: list[Entry], decisions: Iterable[Decision]) -> list[Entry]:
    """The entries, each with the decisions that concern it."""
    in_order = sorted(decisions, key=lambda d: (d.at, d.id))
    if not in_order:
        return entries
    named = _by_name(entries)
    mine: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in in_order:
        # The entry that has the member now by which the operator's entry was named; else one of the same order, for
        # which it then was not meant: only what its fingerprint keeps apart, or what changes no alarm, passes on.
        entry = named.get(decision.anchor)
        if entry is None and decision.action not in ("reopen", "snooze"):
            entry = named.get(("order", *decision.anchor[1:3]))
        if entry:
            mine[entry.id].append(decision)
    return [_decided(entry, mine[entry.id]) if entry.id in mine else entry for entry in entries]


def _by_name(entries: Iterable[Entry]) -> dict[tuple[str | None, ...], Entry]:
    """Each entry under whatever an anchor may name it by, and the first entry of each order."""
    named: dict[tuple[str | None, ...], Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.opened_at, e.id)):
        named[entry.anchor] = entry
        named |= {("refund", r.source, r.id): entry for r in entry.gateway_refunds}
        named |= {("recorded", entry.store, entry.order_id, r.id): entry for r in entry.storefront_refunds}
        named.setdefault(("order", entry.store, entry.order_id), entry)
    return named


def _decided(entry: Entry, decisions: list[Decision]) -> Entry:
    resolution: Resolution | None = None
    assigned, snoozed = entry.assigned_to, entry.snoozed_until
    for decision in decisions:
        match decision.action:
            case "resolve" if decision.fingerprint in fingerprints_of(entry):
                resolution = Resolution(decision.actor, decision.text, decision.at)
            case "reopen":
                resolution = snoozed = None
            case "assign":
                assigned = decision.text or None
            # What is put off was looked at; what has changed since has not been.
            case "snooze" if decision.until is None or decision.fingerprint in fingerprints_of(entry):
                snoozed = decision.until
            case _:
                pass
    entry = replace(entry, decisions=tuple(d.id for d in decisions), assigned_to=assigned, snoozed_until=snoozed)
    # What came to agree, or to nothing, says so: only what is open can be closed by a person.
    if resolution and entry.is_open:
        return replace(entry, status="resolved", resolution=resolution)
    return entry
