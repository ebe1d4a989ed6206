"""Health, metrics, and every address that is none."""

import asyncio

import httpx
import pytest

from storage import readiness
from storage.database import Database
from tests.listener.harness import Front, assert_problem, configured, order_event, running


async def test_there_is_nothing_at_any_other_address(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        for path in ("/", "/webhooks", "/webhooks/", "/webhooks/nobody", "/webhooks/shop/", "/docs"):
            for method in ("GET", "POST", "HEAD", "DELETE"):
                assert_problem(await front.client.request(method, path), 404)


async def test_another_method_is_405(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
            reply = await front.client.request(method, "/webhooks/shop")
            assert_problem(reply, 405)
            assert reply.headers["allow"] == "POST"
        for path in ("/healthz", "/readyz", "/metrics"):
            for method in ("POST", "OPTIONS"):
                reply = await front.client.request(method, path)
                assert_problem(reply, 405)
                assert reply.headers["allow"] == "GET, HEAD"


async def test_alive_and_ready(front: Front) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await front.client.get(path)).json() == {"status": "ok"}
        assert (await front.client.head(path)).status_code == 200


async def test_readiness_asks_storage_once_however_often_it_is_asked(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Database.check_writable, 0

    async def counted(database: Database) -> None:
        nonlocal asked
        asked += 1
        await real(database)

    monkeypatch.setattr(Database, "check_writable", counted)
    monkeypatch.setattr(readiness, "HOLDS_SECONDS", 3600)
    replies = await asyncio.gather(*(front.client.get("/readyz") for _ in range(50)))
    assert {reply.status_code for reply in replies} == {200}
    assert asked == 1


async def test_unknown_sources_make_no_series(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        before = names(await front.client.get("/metrics"))
        for i in range(10):
            await front.client.post(f"/webhooks/unknown{i}", content=b"{}")
        await front.shop(order_event("a"))
        assert names(await front.client.get("/metrics")) == before


async def test_the_metrics_are_those_of_the_contract(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        await front.shop(order_event("a"))
        reply = await front.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    lines = reply.text.splitlines()
    assert "# TYPE refund_ledger_webhooks_total counter" in lines
    assert "# TYPE refund_ledger_webhook_duration_seconds histogram" in lines
    assert 'refund_ledger_webhooks_total{outcome="accepted",source="shop"} 1.0' in lines
    assert 'refund_ledger_webhooks_total{outcome="too_large",source="stripe"} 0.0' in lines
    assert 'refund_ledger_webhook_duration_seconds_count{source="shop"} 1.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert "_created" not in reply.text


def names(reply: httpx.Response) -> set[str]:
    return {line.rpartition(" ")[0] for line in reply.text.splitlines() if not line.startswith("#")}
