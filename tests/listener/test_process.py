"""The listener as a process: how it starts, stops, fails and mends; and several workers."""

import asyncio
import os
import resource
import signal
from collections import Counter

import asyncpg
import httpx
import pytest

from config.problems import ConfigError
from listener.server import serve
from tests.listener.harness import (
    TOKEN,
    ListenerProcess,
    configured,
    launched,
    order_event,
    started,
    stored,
    stripe_event,
)

NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


async def test_a_stop_under_load_loses_nothing(database_url: str) -> None:
    acknowledged: list[str] = []
    busy = asyncio.Event()

    async def sender(front: ListenerProcess, number: int) -> None:
        for i in range(10_000):
            name = f"evt_{number}_{i}"
            try:
                reply = await front.stripe(stripe_event(name))
            except httpx.TransportError:
                return
            if reply.status_code != 200:
                return
            acknowledged.append(name)
            if len(acknowledged) == 200:
                busy.set()

    async with started(database_url) as front:
        senders = [asyncio.create_task(sender(front, number)) for number in range(8)]
        await busy.wait()
        status, modules = await front.stop()
        await asyncio.gather(*senders)
    assert status == 0
    assert "stripe" not in modules.split()
    kept = Counter(row.event_key for row in await stored(database_url))
    assert set(kept.values()) == {1}
    assert set(acknowledged) <= set(kept)


async def test_a_listener_loads_only_what_it_needs(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        await front.stop()
    async with started(sqlite_url) as front:
        assert (await front.shop(order_event("a"))).status_code == 200
        assert (await front.client.get("/readyz")).status_code == 200
        _, modules = await front.stop()
    assert "listener.app" in modules.split()
    assert not {"stripe", "alembic", "asyncpg", "httpx", "rich", "jinja2"} & set(modules.split())


async def test_senders_that_do_not_wait_for_answers_leave_no_trace_in_the_log(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        for i in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            for k in range(5):
                body = b'{"event":"order.changed","id":"%d.%d","order":{"Id":1}}' % (i, k)
                head = f"X-Webhook-Token: {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                writer.write(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n" + head + body)
            await writer.drain()
            writer.transport.abort()
        assert (await front.shop(order_event("a"))).status_code == 200
        front.process.terminate()
        _, told = await front.process.communicate()
    assert b"ERROR" not in told


async def test_a_second_listener_on_sqlite_is_refused(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        second = await launched(sqlite_url)
        _, told = await second.communicate()
        assert second.returncode == 1
        assert b"a listener process already runs on" in told
        assert (await front.shop(order_event("a"))).status_code == 200


def test_several_workers_on_sqlite_are_refused(sqlite_url: str) -> None:
    with pytest.raises(ConfigError, match="SQLite takes one listener; use PostgreSQL"):
        serve(configured(sqlite_url), workers=2)


async def test_a_full_disk_is_503_until_there_is_room(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        assert (await front.shop(order_event("a"))).status_code == 200
        resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        reply = await front.shop(order_event("b"))
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
        assert (await front.client.get("/healthz")).status_code == 200
        resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
        assert (await front.shop(order_event("b"))).json() == {"status": "accepted"}
    assert [row.event_key for row in await stored(sqlite_url)] == ["a", "b"]


async def test_it_is_not_ready_while_the_disk_is_full(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert (await front.client.get("/readyz")).status_code == 503
        resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
        await ready_again(front)


async def test_a_server_that_is_away_is_503_until_it_is_back(postgres: str, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    admin = await asyncpg.connect(postgres)
    async with started(postgres_url) as front:
        assert (await front.shop(order_event("a"))).status_code == 200
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name)
        reply = await front.shop(order_event("b"))
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
        assert (await front.client.get("/readyz")).status_code == 503
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert (await front.shop(order_event("b"))).json() == {"status": "accepted"}
        await ready_again(front)
        assert (await front.stop())[0] == 0
    await admin.close()
    assert [row.event_key for row in await stored(postgres_url)] == ["a", "b"]


async def ready_again(front: ListenerProcess) -> None:
    for _ in range(100):
        if (await front.client.get("/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not ready again")


async def test_the_metrics_of_two_workers_add_up_also_when_one_has_died(postgres_url: str) -> None:
    async with started(postgres_url, workers=2) as front:
        await send(front, range(40))
        assert await counts(front, 8) == {(40.0, 0.0)}
        assert len(front.workers) == 2
        os.kill(front.workers[0], signal.SIGKILL)
        await send(front, range(20, 60))
        assert await counts(front, 8) == {(60.0, 20.0)}
        status, _ = await front.stop()
    assert status == 0
    assert len(await stored(postgres_url)) == 60


async def send(front: ListenerProcess, numbers: range) -> None:
    """Each on a connection of its own, so that both workers get some."""
    for number in numbers:
        front.client.headers["connection"] = "close"
        assert (await front.stripe(stripe_event(f"evt_{number}"))).status_code == 200


async def counts(front: ListenerProcess, times: int) -> set[tuple[float, float]]:
    return {(await front.count("stripe", "accepted"), await front.count("stripe", "duplicate")) for _ in range(times)}
