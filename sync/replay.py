"""Proof that the ledger is what its evidence says: build it anew beside the standing one, and compare."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ledger.entries import Entry
from ledger.facts import Fact
from ledger.instants import Instant
from ledger.policy import Policy
from sources.registry import Configuration, policy
from storage.database import AlreadyRunning, Database, open_database
from storage.dead_letters import count_backlog
from storage.entries import entries_after
from storage.facts import (
    Received,
    add_marks,
    count_due,
    events_after,
    facts_after,
    facts_told,
    load_component,
    replace_facts,
    store_told,
)
from storage.meta import created_at
from storage.retention import count_cut
from sync.announce import notice_rules
from sync.interpret import interpret
from sync.pair import pair_batch
from sync.scratch import scratch_database

PAGE = 500
REPLACED_AT_ONCE = 200
"""Events whose facts are replaced in one transaction: webhooks wait for its end."""

Progress = Callable[[str, int], None]
"""Told what is being done and how much of it is done."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that the evidence makes differently. None: not there."""

    id: str
    standing: Entry | None
    rebuilt: Entry | None


@dataclass
class ReplayReport:
    """What a replay found."""

    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    cut: int = 0
    """Events that have no body any more: what was stored of them stands, and is not proven."""
    reinterpreted: int = 0
    """Events that say something else now than what was stored of them."""
    waiting: int = 0
    """Events and marks that the standing ledger has not worked off yet: some differences may be theirs."""
    applied: bool = False


async def replay(
    configuration: Configuration,
    *,
    from_bodies: bool = False,
    apply: bool = False,
    progress: Progress = lambda _what, _done: None,
) -> ReplayReport:
    """Build the ledger anew from the facts, or from the journal's bodies, and compare it with the standing one.

    With `apply` the standing ledger takes over what differs, as history like any other change.
    """
    report = ReplayReport()
    async with open_database(configuration.settings.database_url, "cli") as standing:
        async with standing.read() as conn:
            rules = policy(configuration, await created_at(conn))
            as_of = time.time_ns() // 1000
            report.waiting = await count_backlog(conn) + await count_due(conn, as_of)
        async with scratch_database() as beside:
            await _copy(standing, beside, as_of, progress)
            retold = await _retell(configuration, standing, beside, as_of, progress) if from_bodies else []
            await _pair_all(beside, rules, as_of, progress)
            await _compare(standing, beside, as_of, report, progress)
            told_anew = {received.event.id for received, _ in retold}
            report.differences = [d for d in report.differences if not await _moved_on(standing, beside, d, told_anew)]
        report.reinterpreted = len(retold)
        if from_bodies:
            async with standing.read() as conn:
                report.cut = await count_cut(conn)
        if apply and (report.differences or retold):
            await _take_over(configuration, standing, report, retold, rules)
    return report


async def _copy(standing: Database, beside: Database, as_of: Instant, progress: Progress) -> None:
    """The standing facts."""
    last = done = 0
    while True:
        async with standing.read() as conn:
            stored = await facts_after(conn, last, PAGE)
        if not stored:
            return
        async with beside.write() as conn:
            await store_told(conn, [(one.id, one.fact) for one in stored], as_of)
        last, done = stored[-1].id, done + len(stored)
        progress("facts", done)


async def _retell(
    configuration: Configuration, standing: Database, beside: Database, as_of: Instant, progress: Progress
) -> list[tuple[Received, list[Fact]]]:
    """What the bodies say, where it is not what was stored of them; which events these are.

    Of an event that cannot be understood now, as where its source is not configured any more, the stored facts stand;
    and so they do of one whose body was cut, or that was deleted.
    """
    retold: list[tuple[Received, list[Fact]]] = []
    last = done = 0
    while True:
        async with standing.read() as conn:
            received = await events_after(conn, last, PAGE)
            told = await facts_told(conn, [one.event.id for one in received])
        if not received:
            return retold
        understood, _ = interpret(received, configuration.sources)
        changed = [(r, facts) for r, facts in understood if facts != told.get(r.event.id, [])]
        async with beside.write() as conn:
            await replace_facts(conn, changed, as_of)
        retold += changed
        last, done = received[-1].event.id, done + len(received)
        progress("events", done)


async def _pair_all(beside: Database, rules: Policy, as_of: Instant, progress: Progress) -> None:
    done = 0
    while (batch := await pair_batch(beside, rules, as_of)).marks:
        done += len(batch.marks)
        progress("pairing", done)


async def _compare(
    standing: Database, beside: Database, as_of: Instant, report: ReplayReport, progress: Progress
) -> None:
    """Walk through both ledgers in order of id."""
    ours, theirs = _all_entries(standing), _all_entries(beside)
    here, there = await anext(ours, None), await anext(theirs, None)
    while here or there:
        id_ = min(e.id for e in (here, there) if e)
        old = here if here and here.id == id_ else None
        new = there if there and there.id == id_ else None
        late = bool(report.waiting and old and old.due_at is not None and old.due_at <= as_of)
        if old != new and not late:  # sync has not got there yet, or else its mark is lost
            report.differences.append(Difference(id_, old, new))
        report.compared += 1
        if report.compared % PAGE == 0:
            progress("comparing", report.compared)
        here = await anext(ours, None) if old else here
        there = await anext(theirs, None) if new else there


async def _moved_on(standing: Database, beside: Database, difference: Difference, told_anew: set[int]) -> bool:
    """Whether the standing ledger has been told more since its facts were copied."""
    homes = {entry.home for entry in (difference.standing, difference.rebuilt) if entry}
    async with standing.read() as conn:
        here = set(await load_component(conn, homes))
    async with beside.read() as conn:
        there = set(await load_component(conn, homes))
    return any(fact.journal_id not in told_anew for fact in here ^ there)


async def _all_entries(db: Database) -> AsyncIterator[Entry]:
    last = ""
    while True:
        async with db.read() as conn:
            entries = await entries_after(conn, last, PAGE)
        if not entries:
            return
        for entry in entries:
            yield entry
        last = entries[-1].id


async def _take_over(
    configuration: Configuration,
    standing: Database,
    report: ReplayReport,
    retold: list[tuple[Received, list[Fact]]],
    rules: Policy,
) -> None:
    """Have what differs paired again; by this process, or by the sync process where one runs on SQLite."""
    now = time.time_ns() // 1000
    homes = {e.home for d in report.differences for e in (d.standing, d.rebuilt) if e}
    for start in range(0, len(retold), REPLACED_AT_ONCE):
        async with standing.write() as conn:
            await replace_facts(conn, retold[start : start + REPLACED_AT_ONCE], now)
    async with standing.write() as conn:
        await add_marks(conn, [(now, home) for home in homes])
    while True:
        with suppress(AlreadyRunning):  # then that one does it; unless it ends first
            async with open_database(configuration.settings.database_url, "sync") as db:
                notices = await notice_rules(db, configuration, now)
                while (await pair_batch(db, rules, now, notices)).marks:
                    pass
        async with standing.read() as conn:
            if not await count_due(conn, now):
                break
        await asyncio.sleep(0.2)
    report.applied = True
