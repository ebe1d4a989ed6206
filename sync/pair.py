"""Step two: the components that were marked are paired, and what changed in the ledger is written with its history."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.derive import derive
from ledger.entries import Entry
from ledger.facts import Decision, Fact, OrderFact, found_at
from ledger.instants import SECOND, Instant
from ledger.links import OrderKey
from ledger.orders import Order
from ledger.policy import Policy
from storage.database import Database
from storage.entries import HistoryLine, load_entries, write_entries
from storage.facts import (
    Mark,
    StoredFact,
    add_marks,
    claim_marks,
    claim_marks_at,
    delete_marks,
    hanging_together,
    load_component,
)
from storage.orders import KnownOrder, write_orders
from storage.polling import Question, add_questions
from sync.announce import NOBODY, NoticeRules, announce
from sync.changes import EntryChange, changes_of, history_of

BATCH = 400
"""The oldest marks that one transaction sees to, with all that ask for the same components."""

RETRY_AFTER = 600 * SECOND
"""When a component is tried again that this program failed on."""

log = logging.getLogger(__name__)


@dataclass
class Component:
    """Everything that shares a reference, with the marks that ask for it to be paired."""

    facts: list[Fact] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    standing: dict[str, Entry] = field(default_factory=dict)
    told: set[OrderKey] = field(default_factory=set)
    """The orders of which the events tell that ask for it."""


@dataclass
class Batch:
    """What one batch did, and what is to be written of it."""

    marks: list[Mark]
    changes: list[EntryChange] = field(default_factory=list)
    history: list[HistoryLine] = field(default_factory=list)
    orders: list[KnownOrder] = field(default_factory=list)
    later: list[tuple[Instant, int]] = field(default_factory=list)
    """New marks: when, and for which reference."""
    questions: list[Question] = field(default_factory=list)
    """Orders to be read again."""


async def pair_batch(db: Database, policy: Policy, now: Instant, notices: NoticeRules = NOBODY) -> Batch:
    """Pair what is marked and due; `marks` is empty where there was nothing to do.

    What is to be told of it by `notices` is written down with it.

    Several workers may do so at once: each holds the locks of whole components while it reads their facts, so of two
    that stored the halves of a pair, the second one to get here sees both.
    """
    if db.shared:
        return await _pair_locked(db, policy, now, notices)
    # One sync process: reading needs no transaction of the writer's, for which the listener would have to wait.
    async with db.read() as conn:
        marks = await claim_marks(conn, now, BATCH)
        if not marks:
            return Batch([])
        stored = await load_component(conn, {m.ref for m in marks})
        marks += await claim_marks_at(conn, now, _own_refs(marks, stored), marks)
        batch = _derive(marks, await _components(conn, marks, stored), policy, now)
    async with db.write() as conn:
        await _write(conn, batch)
        await announce(conn, batch.changes, notices, now)
    return batch


async def _pair_locked(db: Database, policy: Policy, now: Instant, notices: NoticeRules) -> Batch:
    refs: set[int] = set()
    while True:
        async with db.write() as conn:
            marks = await claim_marks(conn, now, BATCH)
            if not marks:
                return Batch([])
            refs |= _own_refs(marks, await load_component(conn, {m.ref for m in marks}))
            await db.lock(conn, refs)
            marks += await claim_marks_at(conn, now, refs, marks)
            # Read again: what another worker committed before it let go of a lock is there now, and so is what every
            # mark stands for, which none of them is deleted without.
            stored = await load_component(conn, {m.ref for m in marks})
            grown = _own_refs(marks, stored) - refs
            if not grown:
                batch = _derive(marks, await _components(conn, marks, stored), policy, now)
                await _write(conn, batch)
                await announce(conn, batch.changes, notices, now)
                return batch
        # The transaction wrote nothing and its locks are gone: begin afresh, with the new references among them.
        refs |= grown


def _derive(marks: list[Mark], components: list[Component], policy: Policy, now: Instant) -> Batch:
    batch = Batch(marks)
    for component in components:
        try:
            derived = derive(component.facts, policy, now)
        except Exception:  # a fault of ours in one component must not stop the others
            refs = {found_at(fact)[0] for fact in component.facts} | {m.ref for m in component.marks}
            log.exception("a component could not be paired", extra={"references": len(refs)})
            batch.later += [(now + RETRY_AFTER, m.ref) for m in component.marks[:1]]
            continue
        changes = changes_of(component.standing, derived.entries)
        causes = sorted({m.journal_id for m in component.marks if m.journal_id is not None})
        known = {d for entry in component.standing.values() for d in entry.decisions}
        new = {f.id: f for f in component.facts if isinstance(f, Decision) and f.id not in known}
        batch.changes += changes
        batch.history += [line for c in changes for line in history_of(c, new, causes, now)]
        told = [order for order in derived.orders if (order.store, order.order_id) in component.told]
        batch.orders += filter(None, map(_known, told))
        batch.later += [
            (c.new.due_at, c.new.home)
            for c in changes
            if c.new and c.new.due_at is not None and (c.old is None or c.old.due_at != c.new.due_at)
        ]
        asked = [*_waiting(changes, policy), *(derived.sought if changes else ())]
        batch.questions += [Question(store, f"order:{order_id}", since=now, due_at=now) for store, order_id in asked]
    return batch


def _waiting(changes: Iterable[EntryChange], policy: Policy) -> Iterator[OrderKey]:
    """The orders that may have moved on: those of entries that wait for something, and of a refund that is new."""
    for change in changes:
        entry = change.new
        if entry is None or not (entry.store and entry.order_id):
            continue
        new_refund = change.old is None and entry.gateway_refunds
        if (new_refund or entry.is_open) and policy.can_ask(entry.store):
            yield entry.store, entry.order_id


def _own_refs(marks: Iterable[Mark], stored: Iterable[StoredFact]) -> set[int]:
    """The facts' own references and the marked ones: where the entries of their components are filed, also one of
    which no fact is left, and what a worker locks.

    Of two workers that see parts of a component, the later one sees all that the other does, so their locks always
    meet.
    """
    return {one.found[0] for one in stored} | {mark.ref for mark in marks}


async def _components(conn: AsyncConnection, marks: list[Mark], stored: list[StoredFact]) -> list[Component]:
    """The components that the facts make, with the marks at them and the entries that stand for them."""
    groups = hanging_together(stored)
    found: defaultdict[int, Component] = defaultdict(Component)
    causes = {mark.journal_id for mark in marks}
    for one in stored:
        component = found[groups.root(one.found[0])]
        component.facts.append(one.fact)
        if isinstance(one.fact, OrderFact) and one.journal_id in causes:
            component.told.add((one.fact.store, one.fact.order_id))
    for mark in marks:
        found[groups.root(mark.ref)].marks.append(mark)
    for entry in (await load_entries(conn, _own_refs(marks, stored))).values():
        found[groups.root(entry.home)].standing[entry.id] = entry
    return list(found.values())


def _known(order: Order) -> KnownOrder | None:
    """The order for the list of suggestions; None where too little is known of it to suggest it."""
    if order.currency is None or order.total is None:
        return None
    placed_at = order.timeline[0].as_of if order.placed_at is None else order.placed_at
    return KnownOrder(
        order.store, order.order_id, order.currency, order.total, placed_at, order.payment_status, order.cancelled
    )


async def _write(conn: AsyncConnection, batch: Batch) -> None:
    await write_entries(
        conn,
        [c.new for c in batch.changes if c.new],
        [c.old.id for c in batch.changes if c.old and not c.new],
        history=batch.history,
        aliases={c.old.id: c.successor for c in batch.changes if c.old and c.successor},
    )
    await write_orders(conn, batch.orders)
    await add_marks(conn, batch.later)
    await add_questions(conn, batch.questions)
    await delete_marks(conn, [m.id for m in batch.marks])
