"""Taking a report into the journal: looked through to its end before the first row is imported."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.entries import Entry
from ledger.facts import Fact, found_at, leads_to
from ledger.instants import Instant
from ledger.policy import Policy
from sources.base import NotUnderstood, Source
from sources.imports import Form, Told, told_by
from storage.database import Database, NewEvent
from storage.entries import entries_after, load_entries
from storage.facts import load_component, store_told
from storage.journal import Journal
from storage.polling import known_keys
from sync.changes import EntryChange, changes_of
from sync.pair import pair_batch
from sync.report_file import Layout, Row, rows
from sync.scratch import scratch_database

BATCH = 200
FAULTS_KEPT = 100
"""Faults that are told in full; the rest is counted."""

_FORESEEN = 1 << 40
"""Where the journal ids begin that rows get which are not in the journal: no database reaches it."""


@dataclass(frozen=True)
class Report:
    """A report, and how to read it."""

    source: Source[Any]
    file: Path
    layout: Layout
    form: Form
    now: Instant
    """When it is imported."""


@dataclass
class ImportReport:
    """What an import found."""

    rows: int = 0
    left_out: int = 0
    """Rows that were not asked for."""
    new: list[int] = field(default_factory=list)
    """Their lines."""
    known: list[int] = field(default_factory=list)
    malformed: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Of the first malformed rows: line and reason."""
    imported: bool = False
    changes: list[EntryChange] = field(default_factory=list)
    """Of a dry run: the entries that would open, change or end."""


Progress = Callable[[str, int], None]
"""Told what is being done, and how many bytes of the file that has got through."""


async def import_report(
    db: Database, report: Report, *, skip_bad_rows: bool = False, progress: Progress = lambda _what, _bytes: None
) -> ImportReport:
    """Import the rows; none of them where one is malformed, unless these are to be skipped.

    Raises ReportUnusable, OSError, StorageUnavailable.
    """
    found = ImportReport()
    for _ in _checked(report, found, lambda done: progress("checked", done)):
        pass
    if found.malformed and not skip_bad_rows:
        return found
    found = ImportReport()
    async with Journal(db) as journal:
        for batch in _batches(_checked(report, found, lambda done: progress("imported", done))):
            new = await journal.append([_event(report, told) for _, told in batch])
            for (line, _), is_new in zip(batch, new, strict=True):
                (found.new if is_new else found.known).append(line)
    found.imported = True
    return found


async def foresee_import(
    db: Database, report: Report, policy: Policy, *, progress: Progress = lambda _what, _bytes: None
) -> ImportReport:
    """What an import would do: the rows that are new, and the entries that would open, change or end.

    The facts that the rows touch are copied beside, theirs are added, and all are paired there; nothing is changed.
    Raises ReportUnusable, OSError, StorageUnavailable.
    """
    found = ImportReport()
    async with scratch_database() as scratch:
        foresight = _Foresight(db, scratch, report.now)
        seen: set[str] = set()
        for batch in _batches(_checked(report, found, lambda done: progress("checked", done))):
            async with db.read() as conn:
                there = await known_keys(conn, report.source.name, [str(told.message.key) for _, told in batch])
            for line, told in batch:
                key = str(told.message.key)
                if key in there or key in seen:
                    found.known.append(line)
                else:
                    found.new.append(line)
                    seen.add(key)
                    foresight.add(told.facts)
            await foresight.store()
        found.changes = await foresight.changes(policy)
    return found


class _Foresight:
    """A ledger beside the standing one, with the facts of some rows, and every stored one that belongs with them."""

    def __init__(self, standing: Database, scratch: Database, now: Instant) -> None:
        self._standing = standing
        self._scratch = scratch
        self._now = now
        self._facts: list[Fact] = []
        self._count = 0
        self._copied: set[int] = set()
        self._entries: dict[str, Entry] = {}

    def add(self, facts: Iterable[Fact]) -> None:
        """Have these stored with the next ones."""
        self._facts += facts

    async def store(self) -> None:
        """Store what was added, and what belongs with it."""
        refs = {ref for fact in self._facts for ref in (*found_at(fact), *leads_to(fact))}
        async with self._standing.read() as conn:
            stored = await load_component(conn, refs)
            self._entries |= await load_entries(conn, refs | {one.found[0] for one in stored})
        told = [(one.id, one.fact) for one in stored if one.id not in self._copied]
        self._copied |= {id_ for id_, _ in told}
        told += [(((_FORESEEN + self._count + i) << 20), fact) for i, fact in enumerate(self._facts)]
        self._count += len(self._facts)
        self._facts = []
        async with self._scratch.write() as conn:
            await store_told(conn, told, self._now)

    async def changes(self, policy: Policy) -> list[EntryChange]:
        """What the entries would become, the oldest first."""
        while (await pair_batch(self._scratch, policy, self._now)).marks:
            pass
        derived: list[Entry] = []
        async with self._scratch.read() as conn:
            while page := await entries_after(conn, derived[-1].id if derived else "", BATCH):
                derived += page
        changes = _continued(changes_of(self._entries, derived))
        return sorted(changes, key=lambda c: next((e.opened_at, e.id) for e in (c.new, c.old) if e))


def _continued(changes: list[EntryChange]) -> list[EntryChange]:
    """An entry that would go on under a new id as one change; of several that end in the same one, one of them."""
    former = {c.successor: c.old for c in changes if c.new is None}
    opened = {c.new.id for c in changes if c.new and c.old is None}
    kept = [c for c in changes if c.new or c.successor not in opened]
    return [EntryChange(c.old or former.get(c.new.id), c.new) if c.new else c for c in kept]


def _checked(report: Report, found: ImportReport, progress: Callable[[int], None]) -> Iterator[tuple[int, Told]]:
    """The rows that are understood, each with its line; the rest is counted in `found`."""
    seen: dict[int, tuple[int, int]] = {}
    for row in rows(report.file, report.layout):
        found.rows += 1
        progress(row.bytes_read)
        if row.cells is None:
            found.left_out += 1
            continue
        try:
            yield row.line, _understood(report, row, seen)
        except NotUnderstood as error:
            found.malformed += 1
            if len(found.faults) < FAULTS_KEPT:
                found.faults.append((row.line, str(error)))


def _understood(report: Report, row: Row, seen: dict[int, tuple[int, int]]) -> Told:
    if row.fault or row.cells is None:
        raise NotUnderstood(row.fault or "")
    told = told_by(report.source, row.cells, report.form, report.now)
    about, content = hash(told.about), hash(told.message.key)
    line, same = seen.setdefault(about, (row.line, content))
    if same != content:
        raise NotUnderstood(f"it says otherwise than line {line} of the same thing at the same time")
    return told


def _batches(told: Iterator[tuple[int, Told]]) -> Iterator[list[tuple[int, Told]]]:
    batch: list[tuple[int, Told]] = []
    for one in told:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _event(report: Report, told: Told) -> NewEvent:
    message = told.message
    return NewEvent(report.source.name, message.key, message.type, "import", report.now, {}, message.body)
