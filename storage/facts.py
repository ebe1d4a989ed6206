"""From the inbox to facts, from facts to marks, from a mark to everything that belongs together.

A fact's id is made of its journal row's id and its position in that event: ids rise with time, and interpreting an
event twice cannot store its facts twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.facts import Decision, Fact, decode, encode, found_at, leads_to
from ledger.groups import Groups
from ledger.instants import Instant
from sources.base import Event
from sources.registry import OPERATOR
from storage.database import Via
from storage.rows import among, delete_rows, insert_rows, packed
from storage.schema import dead_letters, entries, fact_refs, facts, inbox, journal, marks, refs

_POSITION_BITS = 20
"""A body of a megabyte cannot hold more facts than that."""

_AHEAD = 4_000
"""Marks behind the longest due ones that are looked at for others at the same components."""

_CLOSE = 32
"""Facts of so many events that were not asked for cost less to read than another statement."""


class Received(Struct, frozen=True, gc=False):
    """An event out of the journal."""

    event: Event
    via: Via
    attempts: int
    """How often it has been set aside."""


class Mark(Struct, frozen=True, gc=False):
    """A reference whose component has to be paired."""

    id: int
    ref: int
    journal_id: int | None
    """The event that touched it; None where time did."""
    since: Instant
    """When that event arrived, or when the mark was due."""


class StoredFact(Struct, frozen=True, gc=False):
    """A fact, and where it hangs together with others."""

    id: int
    fact: Fact
    found: tuple[int, ...]
    leads: tuple[int, ...]

    @property
    def journal_id(self) -> int:
        """The event that told it."""
        return self.id >> _POSITION_BITS


_RECEIVED = select(
    journal.c.id,
    journal.c.source,
    journal.c.event_key,
    journal.c.type,
    journal.c.body,
    journal.c.received_at,
    journal.c.via,
    func.coalesce(dead_letters.c.attempts, 0),
).outerjoin_from(journal, dead_letters, journal.c.id == dead_letters.c.journal_id)

_INBOX = (
    _RECEIVED.join(inbox, inbox.c.journal_id == journal.c.id)
    .order_by(inbox.c.journal_id)
    .with_for_update(of=inbox, skip_locked=True)
)
_EVENTS = _RECEIVED.where(among(journal.c.id, "ids")).order_by(journal.c.id)
_EVENTS_AFTER = _RECEIVED.where(journal.c.id.not_in(select(inbox.c.journal_id)), journal.c.digest.is_(None)).order_by(
    journal.c.id
)
_REF_IDS = select(refs.c.id).where(among(refs.c.ref, "refs"))
_FACTS_AT = select(facts.c.id, facts.c.body).where(
    facts.c.id.in_(select(fact_refs.c.fact_id).where(fact_refs.c.ref_id.in_(_REF_IDS)))
)
_FACTS_BY_REF = (
    select(refs.c.ref, facts.c.body)
    .join_from(refs, fact_refs, fact_refs.c.ref_id == refs.c.id)
    .join(facts, facts.c.id == fact_refs.c.fact_id)
    .where(among(refs.c.ref, "refs"))
)
_NAMED = select(refs.c.ref, refs.c.id).where(among(refs.c.ref, "refs"))
_FACTS_BETWEEN = select(facts.c.id, facts.c.body).order_by(facts.c.id)
_REFS_OF = delete(fact_refs).where(fact_refs.c.ref_id.in_(_REF_IDS), among(fact_refs.c.fact_id, "ids"))
_DUE = (
    select(marks.c.id, marks.c.ref, marks.c.journal_id, func.coalesce(journal.c.received_at, marks.c.due_at))
    .outerjoin_from(marks, journal, journal.c.id == marks.c.journal_id)
    .order_by(marks.c.due_at, marks.c.id)
    .with_for_update(of=marks, skip_locked=True)
)


_DECIDED = (
    select(journal.c.id, journal.c.body, facts.c.body)
    .outerjoin_from(journal, facts, facts.c.id == journal.c.id * (1 << _POSITION_BITS))
    .where(journal.c.source == OPERATOR)
    .order_by(journal.c.id.desc())
)


async def claim_inbox(conn: AsyncConnection, limit: int) -> list[Received]:
    """The oldest events that wait to be interpreted, on PostgreSQL locked until its end."""
    return _received(await conn.execute(_INBOX.limit(limit)))


async def load_events(conn: AsyncConnection, ids: Iterable[int]) -> list[Received]:
    """These rows of the journal, oldest first."""
    return _received(await conn.execute(_EVENTS, {"ids": packed(ids)}))


async def events_after(conn: AsyncConnection, journal_id: int, limit: int) -> list[Received]:
    """The next rows of the journal, without those that wait to be interpreted or whose bodies are cut."""
    return _received(await conn.execute(_EVENTS_AFTER.where(journal.c.id > journal_id).limit(limit)))


async def store_facts(
    conn: AsyncConnection,
    understood: Sequence[tuple[Received, Sequence[Fact]]],
    not_understood: Sequence[tuple[Received, str]],
    now: Instant,
) -> None:
    """Store what the claimed events say, mark what they touch as due, set aside the rest with its reason.

    They leave the inbox in the same transaction.
    """
    told = [(_fact_id(r.event.id, position), fact) for r, says in understood for position, fact in enumerate(says)]
    await store_told(conn, told, now)
    await _set_aside(conn, [received for received, _ in understood], not_understood, now)
    handled = [received.event.id for received, _ in (*understood, *not_understood)]
    await delete_rows(conn, inbox.c.journal_id, handled)


async def store_told(conn: AsyncConnection, told: Sequence[tuple[int, Fact]], now: Instant) -> None:
    """Store facts under these ids, and mark what they touch as due."""
    found = [(id_, found_at(fact)) for id_, fact in told]
    await insert_rows(conn, facts, ("id", "body"), [(id_, encode(fact)) for id_, fact in told])
    ref_ids = await _ref_ids(conn, {ref for _, own in found for ref in own})
    places = [(ref_ids[ref], id_) for id_, own in found for ref in dict.fromkeys(own)]
    await insert_rows(conn, fact_refs, ("ref_id", "fact_id"), places)
    await _mark(conn, [(own[0], id_) for id_, own in found], now)


async def _ref_ids(conn: AsyncConnection, wanted: Iterable[int]) -> dict[int, int]:
    """The ids of references, which are given to those that have none yet."""
    # In order, so that two workers wait for each other in one direction only.
    named = sorted(wanted)
    await insert_rows(conn, refs, ("ref",), [(ref,) for ref in named], "ON CONFLICT DO NOTHING")
    return dict((await conn.execute(_NAMED, {"refs": packed(named)})).all())


async def replace_facts(conn: AsyncConnection, retold: Sequence[tuple[Received, Sequence[Fact]]], now: Instant) -> None:
    """Store what the events say now in place of what was stored of them, and mark what either touches as due."""
    if not retold:
        return
    former = await facts_of(conn, [received.event.id for received, _ in retold])
    anew = {_fact_id(r.event.id, position): fact for r, says in retold for position, fact in enumerate(says)}
    # Also under the references of the new facts: where the stored body was changed, they say where it was found before.
    ids = {one.id for one in former} | set(anew)
    refs = {ref for one in former for ref in one.found} | {ref for fact in anew.values() for ref in found_at(fact)}
    await conn.execute(_REFS_OF, {"refs": packed(refs), "ids": packed(ids)})
    await delete_rows(conn, facts.c.id, ids)
    await _mark(conn, [(one.found[0], one.id) for one in former], now)
    await store_facts(conn, retold, [], now)


async def _mark(conn: AsyncConnection, touched: Iterable[tuple[int, int]], now: Instant) -> None:
    rows = dict.fromkeys((now, ref, fact_id >> _POSITION_BITS) for ref, fact_id in touched)
    await insert_rows(conn, marks, ("due_at", "ref", "journal_id"), list(rows))


async def _set_aside(
    conn: AsyncConnection,
    understood: Sequence[Received],
    not_understood: Sequence[tuple[Received, str]],
    now: Instant,
) -> None:
    again = [r.event.id for r in (*understood, *(r for r, _ in not_understood)) if r.attempts]
    await delete_rows(conn, dead_letters.c.journal_id, again)
    rows = [(r.event.id, reason, now, r.attempts + 1) for r, reason in not_understood]
    await insert_rows(conn, dead_letters, ("journal_id", "reason", "at", "attempts"), rows)


async def claim_marks(conn: AsyncConnection, now: Instant, limit: int) -> list[Mark]:
    """The marks longest due, on PostgreSQL locked until its end."""
    found = await conn.execute(_DUE.where(marks.c.due_at <= now).limit(limit))
    return [Mark(*row) for row in found]


async def claim_marks_at(
    conn: AsyncConnection, now: Instant, refs: Iterable[int], claimed: Iterable[Mark]
) -> list[Mark]:
    """The others that are due at these references, as far as they are not many behind the claimed ones.

    What belongs together and waits together is paired once.
    """
    near = select(marks.c.id).where(marks.c.due_at <= now).order_by(marks.c.due_at, marks.c.id).limit(_AHEAD)
    query = _DUE.where(marks.c.id.in_(near), among(marks.c.ref, "refs"))
    known = {mark.id for mark in claimed}
    found = await conn.execute(query, {"refs": packed(refs)})
    return [Mark(*row) for row in found if row[0] not in known]


async def next_due(conn: AsyncConnection) -> Instant | None:
    """When the earliest mark is due, or was."""
    due: Instant | None = await conn.scalar(select(func.min(marks.c.due_at)))
    return due


async def count_due(conn: AsyncConnection, now: Instant) -> int:
    """How many marks are due."""
    return (await conn.execute(select(func.count()).where(marks.c.due_at <= now))).scalar_one()


async def add_marks(conn: AsyncConnection, due: Iterable[tuple[Instant, int]]) -> None:
    """Have the references paired again when the time has come."""
    await insert_rows(conn, marks, ("due_at", "ref"), list(dict.fromkeys(due)))


async def mark_unconfigured(conn: AsyncConnection, now: Instant) -> None:
    """Have the entries paired again that wait for a gateway: which ones are configured may be another matter by now."""
    missing = (entries.c.status == "unmatched") & (entries.c.reason == "missing_in_gateway")
    unheard = or_(entries.c.unconfigured.is_not(None), missing)
    homes = select(literal(now), entries.c.home).where(unheard).distinct()
    await conn.execute(insert(marks).from_select(["due_at", "ref"], homes))


async def delete_marks(conn: AsyncConnection, ids: Iterable[int]) -> None:
    """Delete marks that have been seen to."""
    await delete_rows(conn, marks.c.id, ids)


async def load_component(conn: AsyncConnection, refs: Iterable[int]) -> list[StoredFact]:
    """The facts found at the references, those found where these lead to, and so on; in order of id.

    One statement for each step outward, however many references there are.
    """
    component: dict[int, StoredFact] = {}
    seen: set[int] = set()
    frontier = set(refs)
    while frontier:
        seen |= frontier
        rows = await conn.execute(_FACTS_AT, {"refs": packed(frontier)})
        new = [_stored(id_, body) for id_, body in rows if id_ not in component]
        component.update((fact.id, fact) for fact in new)
        frontier = {ref for fact in new for ref in fact.leads} - seen
    return [component[id_] for id_ in sorted(component)]


def hanging_together(stored: Iterable[StoredFact]) -> Groups[int]:
    """Which references the facts make one component of."""
    groups: Groups[int] = Groups()
    for one in stored:
        groups.join({*one.found, *one.leads})
    return groups


async def load_facts(conn: AsyncConnection, refs: Iterable[int]) -> list[tuple[int, Fact]]:
    """The facts found at each of the references, and at which."""
    rows = await conn.execute(_FACTS_BY_REF, {"refs": packed(refs)})
    return [(ref, decode(body)) for ref, body in rows]


async def newest_decisions(
    conn: AsyncConnection, limit: int, *, before: int | None = None, action: str | None = None
) -> list[tuple[int, Decision, bool]]:
    """What operators decided, newest first: its journal id, the decision, whether it has been interpreted.

    `before`: only what has a smaller journal id.
    """
    query = _DECIDED if before is None else _DECIDED.where(journal.c.id < before)
    query = query if action is None else query.where(journal.c.type == action)
    found = []
    for id_, body, fact in await conn.execute(query.limit(limit)):
        decision = decode(fact or body.decode())
        assert isinstance(decision, Decision)
        found.append((id_, decision, fact is not None))
    return found


async def facts_after(conn: AsyncConnection, fact_id: int, limit: int) -> list[StoredFact]:
    """The next facts in order of id."""
    query = _FACTS_BETWEEN.where(facts.c.id > fact_id).limit(limit)
    return [_stored(id_, body) for id_, body in (await conn.execute(query))]


async def facts_told(conn: AsyncConnection, journal_ids: Iterable[int]) -> dict[int, list[Fact]]:
    """What is stored of each of these events; nothing for one that tells nothing.

    Reads the facts from the first to the last of the events: for events that follow one another.
    """
    told: dict[int, list[Fact]] = {}
    wanted = set(journal_ids)
    if not wanted:
        return told
    query = _FACTS_BETWEEN.where(facts.c.id.between(_fact_id(min(wanted), 0), _fact_id(max(wanted) + 1, -1)))
    for id_, body in await conn.execute(query):
        if id_ >> _POSITION_BITS in wanted:
            told.setdefault(id_ >> _POSITION_BITS, []).append(decode(body))
    return told


async def facts_of(conn: AsyncConnection, journal_ids: Iterable[int]) -> list[StoredFact]:
    """What is stored of each of these events, in order of id."""
    wanted = sorted(set(journal_ids))
    found: list[StoredFact] = []
    for first, last in _stretches(wanted):
        query = _FACTS_BETWEEN.where(facts.c.id.between(_fact_id(first, 0), _fact_id(last + 1, -1)))
        found += [_stored(*row) for row in (await conn.execute(query))]
    known = set(wanted)
    return [one for one in found if one.journal_id in known]


def _stretches(ids: Iterable[int]) -> list[tuple[int, int]]:
    """From where to where the ascending ids lie close together: each stretch is read by one statement."""
    stretches: list[tuple[int, int]] = []
    for id_ in ids:
        near = stretches and id_ - stretches[-1][1] <= _CLOSE
        first = stretches.pop()[0] if near else id_
        stretches.append((first, id_))
    return stretches


def _fact_id(journal_id: int, position: int) -> int:
    return (journal_id << _POSITION_BITS) + position


def _stored(id_: int, body: str) -> StoredFact:
    fact = decode(body)
    return StoredFact(id_, fact, found_at(fact), leads_to(fact))


def _received(rows: Iterable[Sequence[Any]]) -> list[Received]:
    return [Received(Event(*event), via, attempts) for *event, via, attempts in rows]
