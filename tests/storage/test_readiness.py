"""Whether storage can be written is told to whoever asks, at once or soon."""

import asyncio

import pytest

from storage import readiness
from storage.database import Database
from storage.readiness import Readiness


async def test_a_database_that_does_not_answer_is_not_ready_until_it_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = asyncio.Event(), 0
    check = database.check_writable

    async def check_later() -> None:
        nonlocal asked
        asked += 1
        await answers.wait()
        await check()

    monkeypatch.setattr(database, "check_writable", check_later)
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.01)
    ready = Readiness(database)
    assert await asyncio.gather(*(ready.is_ready() for _ in range(3))) == [False] * 3
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 60)
    answers.set()
    assert await ready.is_ready()
    assert asked == 1
