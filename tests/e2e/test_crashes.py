"""Processes that are killed in the middle of load: nothing that was acknowledged is lost, and nothing is done twice."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Table

from ledger.derive import derive
from ledger.present import entry_json
from sources.base import Delivery, Event
from sources.registry import policy
from storage.entries import EntryFilter, page
from storage.schema import dead_letters, inbox, marks
from sync.replay import ReplayReport, replay
from tests.e2e.house import House, house, source_of
from tests.e2e.messages import charge, event, order, refund

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = {"sqlite": 10, "postgresql": 4}
ORDERS = 120
AT_ONCE = 8


def history() -> list[bytes]:
    """What the two systems tell of some orders, in disorder: every sixth order has the same fate."""
    told: list[bytes] = []
    for number in range(1000, 1000 + ORDERS):
        made = refund(str(number), number, 40_00, 5)
        told += [order(number, 1), event(f"{number}paid", "charge.succeeded", charge(number, 100_00), 1)]
        match number % 6:
            case 0:
                told += [event(f"{number}a", "refund.created", made, 5)]
                told += [order(number, 7, "PartiallyRefunded", refunded=40_00)]
            case 1:
                told += [event(f"{number}a", "refund.created", made, 5)]
            case 2:
                told += [order(number, 7, "PartiallyRefunded", refunded=40_00)]
            case 3:
                told += [event(f"{number}a", "refund.created", made, 5)]
                told += [order(number, 7, "PartiallyRefunded", refunded=40_00)]
                told += [event(f"{number}b", "refund.failed", made | {"status": "failed"}, 60)]
            case 4:
                other = refund(f"{number}b", number, 60_00, 6)
                told += [event(f"{number}a", "refund.created", made, 5)]
                told += [event(f"{number}b", "refund.created", other, 6)]
                told += [order(number, 7, "Refunded", refunded=100_00)]
            case _:
                told += [order(number, 7, OrderStatus="Cancelled")]
    random.Random(7).shuffle(told)
    return told


HISTORY = history()


class Sender:
    """Sends the history, and again what was not acknowledged."""

    def __init__(self, built: House) -> None:
        self.acknowledged = 0
        self._house = built
        self._waiting = list(HISTORY)
        self._moved = asyncio.Condition()
        sources = built.configuration.sources
        self._keys = {b: m.key for b in HISTORY for m in sources[source_of(b)].messages(Delivery({}, b, 0))}

    async def send(self, count: int) -> None:
        """Send so many, some at once; whoever is not answered stops."""
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        await asyncio.gather(*(self._send(batch) for _ in range(AT_ONCE)))
        self._waiting += batch

    async def send_the_rest(self) -> None:
        """All that is left."""
        await self.send(len(self._waiting))
        assert not self._waiting

    async def _send(self, batch: list[bytes]) -> None:
        while batch:
            body = batch.pop()
            try:
                reply = await self._house.post(source_of(body), body)
            except httpx.TransportError:
                reply = None
            if reply is None or reply.status_code == 503:
                self._waiting.append(body)
                return
            assert reply.status_code == 200
            async with self._moved:
                self.acknowledged += 1
                self._moved.notify_all()

    async def reaches(self, count: int) -> None:
        """Until so many are acknowledged."""
        async with asyncio.timeout(60), self._moved:
            await self._moved.wait_for(lambda: self.acknowledged >= count)

    async def nothing_acknowledged_is_missing(self) -> None:
        """Whatever is in the journal is there once; what is not there was not acknowledged."""
        stored = Counter(await self._house.journal_keys())
        assert set(stored.values()) <= {1}
        assert set(self._keys.values()) - set(stored) <= {self._keys[body] for body in self._waiting}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The entries that an undisturbed run makes of the history."""
    folder = tmp_path_factory.mktemp("undisturbed")
    async with house(folder, f"sqlite:///{folder}/ledger.db") as built:
        await Sender(built).send_the_rest()
        await built.settled()
        entries = await built.entries()
        assert entries == derived(built)
    return entries


def derived(built: House) -> list[Any]:
    """What the rules alone make of the history."""
    sources, now = built.configuration.sources, time.time_ns() // 1000
    told = []
    for body in HISTORY:
        source = sources[source_of(body)]
        [message] = source.messages(Delivery({}, body, now))
        told += source.interpret(Event(0, source.name, message.key or "", message.type, body, now))
    return [entry_json(entry) for entry in derive(told, policy(built.configuration, created_at=0), now).entries]


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Listener and sync on an empty database, of each kind."""
    async with house(tmp_path, database_url, "listener", "sync") as built:
        yield built


async def test_the_history_has_all_that_can_happen(undisturbed: list[Any]) -> None:
    sixth = ORDERS // 6
    assert Counter((entry["status"], entry["reason"]) for entry in undisturbed) == {
        ("matched", None): 2 * sixth,
        ("unmatched", "missing_in_storefront"): sixth,
        ("unmatched", "missing_in_gateway"): sixth,
        ("unmatched", "refund_failed"): sixth,
        ("unmatched", "cancelled_not_refunded"): sixth,
    }


async def test_a_listener_that_is_killed_in_the_middle_of_load_loses_nothing(
    fresh: House, undisturbed: list[Any]
) -> None:
    sender = Sender(fresh)
    for _ in range(ROUNDS[fresh.kind]):
        goal = sender.acknowledged + 20
        load = asyncio.create_task(sender.send(40))
        await sender.reaches(goal)
        fresh.kill("listener")
        await load
        await sender.nothing_acknowledged_is_missing()
        await fresh.start("listener")
    await sender.send_the_rest()
    await it_is_as_if_nothing_had_happened(fresh, undisturbed)


async def test_a_sync_that_is_killed_in_the_middle_of_load_repeats_and_loses_nothing(
    fresh: House, undisturbed: list[Any]
) -> None:
    sender = Sender(fresh)
    for number in range(ROUNDS[fresh.kind]):
        goal = sender.acknowledged + 1
        load = asyncio.create_task(sender.send(40))
        await sender.reaches(goal)
        # What is interpreted leaves the inbox; what is paired, the marks.
        await leaving(fresh, marks if number % 2 else inbox)
        fresh.kill("sync")
        await load
        await fresh.start("sync")
    await sender.send_the_rest()
    await it_is_as_if_nothing_had_happened(fresh, undisturbed)


async def test_a_stop_under_load_loses_nothing(fresh: House, undisturbed: list[Any]) -> None:
    sender = Sender(fresh)
    load = asyncio.create_task(sender.send(200))
    await sender.reaches(60)
    assert await fresh.stop("listener") == 0
    await load
    await sender.nothing_acknowledged_is_missing()
    await fresh.start("listener")
    goal = sender.acknowledged + 20
    load = asyncio.create_task(sender.send(200))
    await sender.reaches(goal)
    assert await fresh.stop("sync") == 0
    await load
    await fresh.start("sync")
    await sender.send_the_rest()
    await it_is_as_if_nothing_had_happened(fresh, undisturbed)


async def leaving(built: House, table: Table) -> None:
    """Until rows leave the table; where that is not seen, for as long as it would take."""
    before = 0
    for _ in range(1_000):
        now = await built.count(table)
        if now < before:
            return
        before = now
        await asyncio.sleep(0.001)


async def it_is_as_if_nothing_had_happened(built: House, undisturbed: list[Any]) -> None:
    """The journal has each event once, the ledger is that of an undisturbed run, and follows from its evidence."""
    await built.settled()
    assert len(await built.journal_keys()) == len(HISTORY)
    assert await built.count(dead_letters) == 0
    async with built.database.read() as conn:
        entries, _ = await page(conn, EntryFilter(), limit=1000)
    assert [entry_json(entry) for entry in entries] == undisturbed
    report = await replay(built.configuration, from_bodies=True)
    assert report == ReplayReport(compared=len(undisturbed))
