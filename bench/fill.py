"""Fills a journal and its ledger much faster than events can go the one way through.

It leaves the rows that the real path leaves when the same events arrive order by order (tests/bench compares them): it
interprets, pairs and encodes with the real functions, but on every core, without reading anything back, and writes what
comes of it in bulk.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import TypeAlias

import asyncpg

from bench.events import PER_ORDER, order_events
from bench.pairing import configured
from config.collector import calm_collector
from ledger.facts import OrderFact, encode, found_at, order_ref
from ledger.instants import Instant
from ledger.policy import Policy
from sources.base import Event
from sources.registry import AnySource
from storage.entries import _HISTORY_NAMES, _NAMES, _history_row, _row
from storage.facts import Mark, _fact_id
from storage.orders import KnownOrder
from sync.pair import Component, _derive

Rows: TypeAlias = dict[str, list[tuple[object, ...]]]
"""By table."""

REFS_PER_ORDER = 7

BLOCK = 1_000
"""Orders whose rows are made together."""

COLUMNS = {
    "journal": ("source", "event_key", "type", "via", "received_at", "headers", "body"),
    "facts": ("id", "body"),
    "refs": ("ref",),
    "fact_refs": ("ref_id", "fact_id"),
    "entries": _NAMES,
    "entry_history": _HISTORY_NAMES,
    "orders": ("ref", *KnownOrder._fields),
}


def fill(database_url: str, orders: int, now: Instant, done: Callable[[int], None]) -> None:
    """Fill a new database with the events of so many orders; `done` hears how many there are so far."""
    insert = _into_sqlite if database_url.startswith("sqlite") else _into_postgres
    insert(database_url, _counted(_blocks(orders, now), done))


def rows_of(orders: range, now: Instant) -> Rows:
    """The rows of these orders, where those before them have theirs already."""
    sources, rules = configured(now)
    rows: Rows = {table: [] for table in COLUMNS}
    for number in orders:
        _add_order(rows, number, now, sources, rules)
    return rows


def _add_order(rows: Rows, number: int, now: Instant, sources: dict[str, AnySource], rules: Policy) -> None:
    component = Component()
    # Their ids are given in this order.
    refs: dict[int, int] = {}
    for journal_id, event in enumerate(order_events(number, now), start=number * PER_ORDER + 1):
        rows["journal"].append(event.row())
        key = str(event.key)
        received = Event(journal_id, event.source, key, event.type, event.body, event.received_at)
        for position, fact in enumerate(sources[event.source].interpret(received)):
            fact_id = _fact_id(journal_id, position)
            found = found_at(fact)
            rows["facts"].append((fact_id, encode(fact)))
            for ref in sorted(set(found)):
                ref_id = refs.setdefault(ref, number * REFS_PER_ORDER + len(refs) + 1)
                rows["fact_refs"].append((ref_id, fact_id))
            component.facts.append(fact)
            component.marks.append(Mark(0, found[0], journal_id, event.received_at))
            if isinstance(fact, OrderFact):
                component.told.add((fact.store, fact.order_id))
    assert len(refs) == REFS_PER_ORDER
    rows["refs"] += [(ref,) for ref in refs]
    batch = _derive([], [component], rules, now)
    rows["entries"] += [_row(change.new) for change in batch.changes if change.new]
    rows["entry_history"] += map(_history_row, batch.history)
    rows["orders"] += [(order_ref(order.store, order.order_id), *order) for order in batch.orders]


def _blocks(orders: int, now: Instant) -> Iterable[Rows]:
    """The rows of all blocks in order, made on every core; only a few blocks are in memory at once."""
    cores = len(os.sched_getaffinity(0))
    starts = iter(range(0, orders, BLOCK))
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=calm_collector) as pool:
        while few := [range(start, min(start + BLOCK, orders)) for start in islice(starts, 4 * cores)]:
            yield from pool.map(partial(rows_of, now=now), few)


def _counted(blocks: Iterable[Rows], done: Callable[[int], None]) -> Iterable[Rows]:
    count = 0
    for rows in blocks:
        yield rows
        count += len(rows["journal"])
        done(count)


def _into_sqlite(database_url: str, blocks: Iterable[Rows]) -> None:
    path = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        # Nothing of it has to survive anything; the pages of the indexes stay in memory.
        conn.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000; PRAGMA wal_autocheckpoint=100000")
        for rows in blocks:
            conn.execute("BEGIN")
            for table, columns in COLUMNS.items():
                values = ", ".join("?" * len(columns))
                conn.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows[table])
            conn.execute("COMMIT")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _into_postgres(database_url: str, blocks: Iterable[Rows]) -> None:
    with asyncio.Runner() as runner:
        conn = runner.run(asyncpg.connect(database_url))
        for rows in blocks:
            for table, columns in COLUMNS.items():
                runner.run(conn.copy_records_to_table(table, records=rows[table], columns=columns))
        # The server does so by itself in time, and what is measured must not wait for it.
        runner.run(conn.execute("VACUUM ANALYZE"))
        runner.run(conn.execute("CHECKPOINT"))
        runner.run(conn.close())
