"""Loops that fail are started again, and end when they are asked to."""

import asyncio
import logging

import pytest

from storage.database import StorageUnavailable
from sync import supervise as supervising
from sync.supervise import Stop, supervise


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "PAUSE_SECONDS", (0.0,))


async def test_a_loop_that_fails_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    stop, failures = Stop(), [ZeroDivisionError(), StorageUnavailable("the database failed")]

    async def loop(stop: Stop) -> None:
        if failures:
            raise failures.pop()
        stop.set()

    await supervise("pairing", loop, stop)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, "pairing: the database failed"),
        (logging.ERROR, "pairing failed"),
    ]


async def test_it_waits_longer_the_more_often_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "PAUSE_SECONDS", (1.0, 2.0, 5.0))
    stop, slept = Stop(), list[float]()

    async def slumber(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            stop.set()

    async def loop(_: Stop) -> None:
        raise StorageUnavailable("the database failed")

    monkeypatch.setattr(stop, "sleep", slumber)
    await supervise("pairing", loop, stop)
    assert slept == [1, 2, 5, 5, 5]


async def test_a_loop_that_was_well_for_a_while_begins_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "PAUSE_SECONDS", (1.0, 2.0))
    monkeypatch.setattr(supervising, "WELL_SECONDS", -1.0)
    stop, slept = Stop(), list[float]()

    async def slumber(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            stop.set()

    async def loop(_: Stop) -> None:
        raise StorageUnavailable("the database failed")

    monkeypatch.setattr(stop, "sleep", slumber)
    await supervise("pairing", loop, stop)
    assert slept == [1, 1, 1]


async def test_a_stop_ends_waiting_at_once() -> None:
    stop = Stop()
    waiting = [asyncio.create_task(stop.sleep(3600)), asyncio.create_task(stop.wait())]
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    await asyncio.wait_for(stop.sleep(3600), 5)
    assert stop.is_set()


async def test_a_stop_cancels_what_is_waited_for() -> None:
    stop, ended = Stop(), list[str]()

    async def other() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    waiting = asyncio.create_task(stop.unless(other()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stop.set()
    await waiting
    assert ended == ["cancelled"]


async def test_what_fails_while_it_is_waited_for_is_raised() -> None:
    async def other() -> None:
        raise StorageUnavailable("the database failed")

    with pytest.raises(StorageUnavailable):
        await Stop().unless(other())


async def test_cancellation_is_never_swallowed() -> None:
    ended: list[str] = []

    async def loop(stop: Stop) -> None:
        try:
            await stop.sleep(3600)
        finally:
            ended.append("loop")

    supervised = asyncio.create_task(supervise("pairing", loop, Stop()))
    for _ in range(3):
        await asyncio.sleep(0)
    supervised.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervised
    assert ended == ["loop"]
