"""The journal's writer: what is answered is on disk, once; and what cannot be stored is refused."""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select, text

from storage import postgres
from storage.database import Database, NewEvent, StorageUnavailable, open_database
from storage.facts import claim_inbox
from storage.journal import LINE_MAX, Journal, last_events
from storage.schema import inbox, journal
from tests.storage.build import NOW, event
from tests.storage.test_database import CUT_ALL_OTHERS


async def _keys(database: Database) -> list[str]:
    async with database.read() as conn:
        assert await conn.scalar(select(func.count()).select_from(inbox)) == await conn.scalar(
            select(func.count()).select_from(journal)
        )
        return list((await conn.execute(select(journal.c.event_key).order_by(journal.c.id))).scalars())


async def test_a_second_arrival_is_a_duplicate(database: Database) -> None:
    async with Journal(database) as writer:
        assert await writer.append([event("evt_1")]) == [True]
        assert await writer.append([event("evt_1")]) == [False]
        assert await writer.append([event("evt_1"), event("evt_2")]) == [False, True]
    assert await _keys(database) == ["evt_1", "evt_2"]


async def test_the_same_key_of_another_source_is_another_event(database: Database) -> None:
    assert await database.append([event("evt_1"), event("evt_1", "other")]) == [True, True]


async def test_of_the_same_event_twice_in_one_delivery_the_first_is_new(database: Database) -> None:
    events = [event("b"), event("a"), event("b"), event("a")]
    assert await database.append(events) == [True, True, False, False]


async def test_of_two_that_arrive_at_once_one_is_new(database_url: str) -> None:
    async with open_database(database_url, "cli") as one, open_database(database_url, "cli") as other:
        async with Journal(one) as first, Journal(other) as second:
            answers = await asyncio.gather(
                *(writer.append([event(f"evt_{i}")]) for i in range(50) for writer in (first, second, first))
            )
        assert Counter(new for answer in answers for new in answer) == {True: 50, False: 100}
        assert len(await _keys(one)) == 50


async def test_two_that_add_the_same_events_in_opposite_order_do_not_block_each_other(database_url: str) -> None:
    events = [event(f"evt_{i}") for i in range(100)]
    async with open_database(database_url, "cli") as one, open_database(database_url, "cli") as other:
        for _ in range(5):
            await asyncio.gather(one.append(events), other.append(events[::-1]))
        assert len(await _keys(one)) == 100


async def test_an_event_without_identity_is_never_a_duplicate(database: Database) -> None:
    assert await database.append([event(None), event(None)]) == [True, True]
    assert all(key.startswith("arrival:") for key in await _keys(database))


async def test_an_event_comes_back_as_it_arrived(database: Database) -> None:
    body = bytes(range(256)) * 50
    await database.append([event("evt_1", body=body, headers={"stripe-signature": "t=1,v1=\xff"})])
    async with database.read() as conn:
        (received,) = await claim_inbox(conn, 10)
        assert (await conn.execute(select(journal.c.headers))).scalar_one() == '{"stripe-signature":"t=1,v1=\xff"}'
    assert (received.event.source, received.event.key, received.event.body) == ("stripe", "evt_1", body)
    assert (received.event.received_at, received.via, received.attempts) == (NOW, "webhook", 0)


async def test_text_that_a_database_cannot_hold_stops_nobody(database: Database) -> None:
    assert await database.append([event("evt_1", type="a\0b\ud800c"), event("evt_2", type="größer")]) == [True, True]
    async with database.read() as conn:
        assert [received.event.type for received in await claim_inbox(conn, 10)] == ["a?b?c", "größer"]


async def test_callers_that_come_together_share_commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    store = database.append

    async def counted(events: Sequence[NewEvent]) -> list[bool]:
        commits.append(len(events))
        return await store(events)

    monkeypatch.setattr(database, "append", counted)
    async with Journal(database) as writer:
        answers = await asyncio.gather(*(writer.append([event(f"evt_{i}")]) for i in range(600)))
    assert answers == [[True]] * 600
    assert commits == [256, 256, 88]


async def test_on_an_embedded_database_what_is_just_arriving_shares_the_commit_too(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(sqlite_url, "listener") as database:
        commits: list[int] = []
        store = database.append

        async def counted(events: Sequence[NewEvent]) -> list[bool]:
            commits.append(len(events))
            return await store(events)

        async def arrived(number: int) -> list[bool]:
            for _ in range(number):  # each a turn of the loop after the other
                await asyncio.sleep(0)
            return await writer.append([event(f"evt_{number}")])

        monkeypatch.setattr(database, "append", counted)
        async with Journal(database) as writer:
            assert await asyncio.gather(*map(arrived, range(20))) == [[True]] * 20
        assert commits == [20]


async def test_a_delivery_larger_than_a_batch_stays_whole(database: Database) -> None:
    async with Journal(database) as writer:
        large = [event(f"large_{i}") for i in range(3_000)]
        small, answer = await asyncio.gather(writer.append([event("small")]), writer.append(large))
    assert (small, answer) == ([True], [True] * 3_000)


async def test_nothing_is_nothing(database: Database) -> None:
    async with Journal(database) as writer:
        assert await writer.append([]) == []


async def test_a_full_line_refuses_at_once_and_takes_again_later(database: Database) -> None:
    async with Journal(database) as writer:
        waiting = [asyncio.create_task(writer.append([event(f"evt_{i}")])) for i in range(LINE_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable, match="too many"):
            await writer.append([event("one_too_many")])
        assert await asyncio.gather(*waiting) == [[True]] * LINE_MAX
        assert await writer.append([event("later")]) == [True]


async def test_closing_stores_what_waits_and_takes_nothing_more(database: Database) -> None:
    writer = Journal(database)
    waiting = [asyncio.create_task(writer.append([event(f"evt_{i}")])) for i in range(500)]
    await asyncio.sleep(0)
    await writer.close()
    assert await asyncio.gather(*waiting) == [[True]] * 500
    with pytest.raises(StorageUnavailable, match="closed"):
        await writer.append([event("late")])


async def test_a_caller_that_goes_away_takes_nobody_with_it(database: Database) -> None:
    async with Journal(database) as writer:
        gone = asyncio.create_task(writer.append([event("gone")]))
        stays = asyncio.create_task(writer.append([event("stays")]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == [True]
    assert await _keys(database) == ["gone", "stays"]


async def test_a_commit_that_fails_is_told_to_each_who_waits_and_the_next_one_works(sqlite_url: str) -> None:
    async with open_database(sqlite_url, "cli") as database, Journal(database) as writer:
        assert await writer.append([event("before")]) == [True]
        with _full_disk():
            answers = await asyncio.gather(
                *(writer.append([event(f"evt_{i}", body=b"x" * 9_000)]) for i in range(20)), return_exceptions=True
            )
        assert {type(answer) for answer in answers} == {StorageUnavailable}
        assert await writer.append([event("evt_3")]) == [True]
        assert await _keys(database) == ["before", "evt_3"]


async def test_a_connection_that_is_cut_while_it_writes_is_told_and_the_next_one_is_new(postgres_url: str) -> None:
    async with open_database(postgres_url, "cli") as database, open_database(postgres_url, "cli") as other:
        async with Journal(database) as writer:
            assert await writer.append([event("before")]) == [True]
            async with other.write() as conn:
                await conn.execute(text("LOCK TABLE journal"))
                writing = asyncio.create_task(writer.append([event("during")]))
                while not await conn.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):  # noqa: ASYNC110 - the server tells no event
                    await asyncio.sleep(0.01)
                await conn.execute(CUT_ALL_OTHERS)
                with pytest.raises(StorageUnavailable):
                    await writing
            assert await writer.append([event("after")]) == [True]
        assert await _keys(other) == ["before", "after"]


async def test_a_server_that_does_not_answer_is_waited_for_only_so_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_APPEND_SECONDS", 0.2)
    async with open_database(postgres_url, "cli") as database, open_database(postgres_url, "cli") as other:
        async with other.write() as conn:
            await conn.execute(text("LOCK TABLE journal"))
            with pytest.raises(StorageUnavailable):
                await database.append([event("during")])
        assert await database.append([event("after")]) == [True]
        assert await _keys(other) == ["after"]


async def test_a_connection_that_was_cut_while_nothing_arrived_costs_no_event(postgres_url: str) -> None:
    async with open_database(postgres_url, "cli") as database, Journal(database) as writer:
        assert await writer.append([event("before")]) == [True]
        async with open_database(postgres_url, "cli") as other, other.write() as conn:
            await conn.execute(CUT_ALL_OTHERS)
        assert await writer.append([event("after")]) == [True]


async def test_the_newest_event_of_each_source_is_known(database: Database) -> None:
    await database.append([event("1", "stripe", received_at=NOW + 5), event("2", "shop", received_at=NOW + 7)])
    await database.append([event("3", "stripe", received_at=NOW + 9)])
    async with database.read() as conn:
        assert await last_events(conn, ["stripe", "shop", "quiet"]) == {"stripe": NOW + 9, "shop": NOW + 7}


@contextmanager
def _full_disk() -> Iterator[None]:
    """No file may grow beyond a page of SQLite's: writing to its WAL fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
