"""POST /webhooks/{source}: what is answered, and what is then on disk."""

import asyncio
import hashlib
import json

import pytest
from sqlalchemy import text

import listener.app
import storage.journal
from sources.infigo import Infigo
from sources.stripe import Stripe
from storage.database import Database, open_database
from tests.listener.harness import (
    TOKEN,
    Front,
    assert_problem,
    configured,
    order_event,
    running,
    signature,
    started,
    stored,
    stripe_event,
)


async def test_an_event_is_stored_as_it_arrived_before_it_is_accepted(front: Front, database_url: str) -> None:
    body = stripe_event("evt_1")
    sent = signature(body)
    reply = await front.client.post("/webhooks/stripe?a=b", content=body, headers=sent | {"x-other": "o"})
    assert (reply.status_code, reply.text) == (200, '{"status":"accepted"}')
    assert reply.headers["content-type"] == "application/json"
    (row,) = await stored(database_url)
    assert (row.source, row.event_key, row.type, row.via) == ("stripe", "evt_1", "refund.created", "webhook")
    assert bytes(row.body) == body
    assert json.loads(row.headers) == sent


async def test_a_static_token_is_not_stored(front: Front, database_url: str) -> None:
    assert (await front.shop(order_event("a"))).json() == {"status": "accepted"}
    (row,) = await stored(database_url)
    assert json.loads(row.headers) == {}


async def test_a_second_arrival_is_a_duplicate(front: Front, database_url: str) -> None:
    body = stripe_event("evt_1")
    replies = [(await front.stripe(body)).json() for _ in range(3)]
    assert replies == [{"status": "accepted"}, {"status": "duplicate"}, {"status": "duplicate"}]
    assert len(await stored(database_url)) == 1
    assert await front.count("stripe", "accepted") == 1
    assert await front.count("stripe", "duplicate") == 2


async def test_of_two_that_arrive_at_once_one_is_the_duplicate(front: Front, database_url: str) -> None:
    for i in range(20):
        body = stripe_event(f"evt_{i}")
        replies = await asyncio.gather(*(front.stripe(body) for _ in range(4)))
        assert sorted(r.json()["status"] for r in replies) == ["accepted", *["duplicate"] * 3]
    assert len(await stored(database_url)) == 20


async def test_the_same_event_at_two_listeners_at_once_is_accepted_once(postgres_url: str) -> None:
    configuration = configured(postgres_url)
    async with running(configuration) as one, running(configuration) as other:
        for i in range(20):
            body = stripe_event(f"evt_{i}")
            replies = await asyncio.gather(*(front.stripe(body) for front in (one, other, one, other)))
            assert sorted(r.json()["status"] for r in replies) == ["accepted", *["duplicate"] * 3]
    assert len(await stored(postgres_url)) == 20


@pytest.mark.parametrize("body", [stripe_event("evt_1", "invoice.paid"), stripe_event("evt_1", livemode=False)])
async def test_what_is_not_used_is_counted_and_not_stored(front: Front, database_url: str, body: bytes) -> None:
    assert (await front.stripe(body)).json() == {"status": "ignored"}
    assert await front.count("stripe", "ignored") == 1
    assert await stored(database_url) == []


@pytest.mark.parametrize("body", [b"", b"\xff\x00{", b'{"id":"\xff"}', b"[" * 100_000, b'{"id":NaN}'])
async def test_what_is_authentic_but_not_understood_is_kept_under_its_hash(
    front: Front, database_url: str, body: bytes
) -> None:
    assert (await front.stripe(body)).json() == {"status": "accepted"}
    assert (await front.stripe(body)).json() == {"status": "duplicate"}
    (row,) = await stored(database_url)
    assert row.event_key == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert bytes(row.body) == body
    assert await front.count("stripe", "malformed") == 1


async def test_a_list_is_one_row_per_item_and_accepted_if_any_is_new(front: Front, database_url: str) -> None:
    assert (await front.shop([order_event("a"), order_event("b")])).json() == {"status": "accepted"}
    assert (await front.shop([order_event("b"), order_event("c")])).json() == {"status": "accepted"}
    assert (await front.shop([order_event("c"), order_event("a")])).json() == {"status": "duplicate"}
    assert sorted(row.event_key for row in await stored(database_url)) == ["a", "b", "c"]


async def test_a_malformed_item_is_set_aside_alone(front: Front, database_url: str) -> None:
    reply = await front.shop([order_event("a"), {"event": "order.changed"}, order_event("b")])
    assert reply.json() == {"status": "accepted"}
    assert {row.event_key[:7] for row in await stored(database_url)} == {"a", "b", "sha256:"}
    assert await front.count("shop", "malformed") == 1


async def test_an_item_with_a_number_beyond_all_bounds_is_set_aside_alone(front: Front, database_url: str) -> None:
    items = [json.dumps(order_event("a")), '{"event": "order.changed", "RefundedAmount": 1e9999999999999999999}']
    reply = await front.shop(f"[{','.join(items)}]".encode())
    assert reply.json() == {"status": "accepted"}
    assert {row.event_key[:7] for row in await stored(database_url)} == {"a", "sha256:"}


async def test_a_list_of_nothing_that_is_used_is_ignored(front: Front, database_url: str) -> None:
    assert (await front.shop([{"event": "order.seen"}])).json() == {"status": "ignored"}
    assert (await front.shop([])).json() == {"status": "ignored"}
    assert await stored(database_url) == []


NOT_AUTHENTIC: list[list[tuple[bytes, bytes]]] = [
    [],
    [(b"stripe-signature", b"")],
    [(b"stripe-signature", b"\xff\xfe\xe9\xb2")],
    [(b"stripe-signature", b"t=\xb2\xb3,v1=\xe9")],
    [(b"stripe-signature", b"t=99999999999999999999,v1=00")],
    [(b"stripe-signature", b",=,=,t=,v1=,,v1")],
    [(b"stripe-signature", b"t=1,v1=" + b"0" * 60_000)],
    [(b"authorization", b"Basic \xff"), (b"x-webhook-token", b"\xff")],
    [(b"authorization", b"Basic ====")],
    [(b"authorization", b"Bearer")],
    [(b"authorization", b"Bearer wrong"), (b"x-webhook-token", b"wrong")],
]


async def test_every_fault_of_authentication_is_401(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        for source in ("stripe", "shop"):
            for headers in NOT_AUTHENTIC:
                reply = await front.client.post(f"/webhooks/{source}", content=b"{}", headers=headers)
                assert_problem(reply, 401)
            assert await front.count(source, "unauthenticated") == len(NOT_AUTHENTIC)
    assert await stored(sqlite_url) == []


async def test_the_first_of_two_headers_of_one_name_counts(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        for values, status in [((TOKEN, "wrong"), 200), (("wrong", TOKEN), 401)]:
            headers = [("x-webhook-token", value) for value in values]
            assert (await front.client.post("/webhooks/shop", headers=headers)).status_code == status


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(sqlite_url: str) -> None:
    async def chunks(size: int) -> object:
        for _ in range(size // 1024):
            yield b"x" * 1024
        yield b"x" * (size % 1024)

    async with running(configured(sqlite_url, max_body="64KiB")) as front:
        for size, status in [(65536, 200), (65537, 413), (300_000, 413)]:
            for content in (b"x" * size, chunks(size)):
                headers = {"x-webhook-token": TOKEN}
                reply = await front.client.post("/webhooks/shop", content=content, headers=headers)  # type: ignore[arg-type]
                assert reply.status_code == status
        assert_problem(reply, 413)
        assert await front.count("shop", "too_large") == 4


@pytest.mark.parametrize("head", [b"Content-Length: 7000000", b"Transfer-Encoding: chunked"])
async def test_who_sends_too_much_and_wants_the_connection_closed_hears_it_as_well(
    sqlite_url: str, head: bytes
) -> None:
    body = b"x" * 7_000_000 if b"Length" in head else b"3e8\r\n%s\r\n" % (b"x" * 1000) * 7000 + b"0\r\n\r\n"
    async with running(configured(sqlite_url)) as front:
        start = b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n\r\n" % head
        reply = await front.raw(start, body)  # and only then it looks for the answer
    assert reply.startswith(b"HTTP/1.1 413 ")


async def test_who_announces_too_much_is_told_before_it_is_sent(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
        async with asyncio.timeout(1):
            reply = await reader.readuntil(b'too large."}')
        writer.close()
    assert reply.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_end_in_time_is_408(sqlite_url: str) -> None:
    async with running(configured(sqlite_url, body_timeout="1s")) as front:
        reply = await front.raw(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in reply


async def test_a_sender_that_goes_away_is_not_counted(sqlite_url: str) -> None:
    async with running(configured(sqlite_url)) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await front.shop(order_event("a"))).status_code == 200
        assert front.listener
        assert 'duration_seconds_count{source="shop"} 1.0' in front.listener._metrics.text().decode()


async def test_when_storage_fails_the_sender_is_asked_to_come_again(front: Front, database: Database) -> None:
    assert (await front.stripe(stripe_event("evt_1"))).status_code == 200
    async with database.write() as conn:
        await conn.execute(text("ALTER TABLE journal RENAME TO away"))
    for _ in range(2):
        reply = await front.stripe(stripe_event("evt_2"))
        assert_problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
    async with database.write() as conn:
        await conn.execute(text("ALTER TABLE away RENAME TO journal"))
    assert (await front.stripe(stripe_event("evt_2"))).json() == {"status": "accepted"}
    assert (await front.stripe(stripe_event("evt_1"))).json() == {"status": "duplicate"}
    assert await front.count("stripe", "unavailable") == 2


async def test_a_full_waiting_line_is_503_at_once(
    front: Front, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.journal, "LINE_MAX", 2)
    async with database.write() as conn:
        if database.shared:
            await conn.execute(text("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE"))
        waiting = [asyncio.create_task(front.stripe(stripe_event(f"evt_{i}"))) for i in range(3)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        assert_problem(refused.result(), 503)
        assert int(refused.result().headers["retry-after"]) > 0
    replies = await asyncio.gather(*waiting)
    assert sorted(reply.status_code for reply in replies) == [200, 200, 503]


async def test_bodies_that_would_fill_the_memory_are_503(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener.app, "HELD_MAX", 1000)
    async with running(configured(sqlite_url)) as front:
        assert_problem(await front.shop(b"x" * 1001), 503)
        assert (await front.shop(b"x" * 1000)).status_code == 200
        assert (await front.shop(b"y" * 1000)).status_code == 200


async def test_an_unexpected_fault_is_503_and_its_text_is_logged_nowhere(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("4242424242424242")

    monkeypatch.setattr(Infigo, "messages", broken)
    async with running(configured(sqlite_url)) as front:
        for _ in range(3):
            reply = await front.shop(order_event("a"))
            assert_problem(reply, 503)
        assert await front.count("shop", "unavailable") == 3
    (record,) = caplog.records
    assert record.__dict__["cause"].startswith("RuntimeError at test_webhooks.py:")
    assert "4242" not in caplog.text + str(record.__dict__) + reply.text


async def test_nothing_of_a_delivery_is_logged(sqlite_url: str) -> None:
    async with started(sqlite_url) as front:
        await front.shop(order_event("a"))
        await front.client.post("/webhooks/shop?query=abcdef", content=b"body-abcdef", headers={"x": "header-abcdef"})
        await front.raw(b"abcdef\r\n\r\n")
        front.process.terminate()
        _, told = await front.process.communicate()
    assert b"abcdef" not in told
    assert TOKEN.encode() not in told
    assert told.count(b"\n") < 20


async def test_a_source_may_have_an_answer_of_its_own(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stripe, "accepted_reply", b"[accepted]")
    async with running(configured(sqlite_url)) as front:
        for body in (stripe_event("evt_1"), stripe_event("evt_1"), stripe_event("evt_2", "invoice.paid"), b"?"):
            reply = await front.stripe(body)
            assert (reply.status_code, reply.text) == (200, "[accepted]")
            assert reply.headers["content-type"] == "text/plain"
        assert (await front.shop(order_event("a"))).json() == {"status": "accepted"}


async def test_a_request_that_outlives_the_stop_is_503(postgres_url: str) -> None:
    async with open_database(postgres_url, "cli") as database, running(configured(postgres_url)) as front:
        assert front.server
        front.server.config.timeout_graceful_shutdown = 1
        async with database.write() as conn:
            await conn.execute(text("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE"))
            waiting = asyncio.create_task(front.stripe(stripe_event("evt_1")))
            while front.listener and not front.listener._held:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0)
            front.server.should_exit = True
            assert_problem(await waiting, 503)
