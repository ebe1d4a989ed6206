"""What never becomes a request, and what comes with one."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

import listener.protocol
from tests.listener.harness import TOKEN, Front, configured, order_event, running, signature, stripe_event

POST = b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n"
KNOWN = POST + b"X-Webhook-Token: " + TOKEN.encode() + b"\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.fixture
async def front(sqlite_url: str) -> AsyncIterator[Front]:
    async with running(configured(sqlite_url, max_body="1KiB")) as front:
        yield front


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST http:// HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        POST + b"Content-Length: -3\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"x: a\x00b\r\n\r\n",
    ],
)
async def test_broken_http_is_400(front: Front, sent: bytes) -> None:
    reply = await front.raw(sent)
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json\r\n" in reply
    assert reply.endswith(b"}")


@pytest.mark.parametrize("start", [POST + b"x: ", KNOWN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: "])
async def test_a_head_or_trailer_without_end_is_cut_off(front: Front, start: bytes) -> None:
    reply = await front.raw(start, *[b"a" * 400_000] * 10)
    # The answer may be lost: the connection is reset while more is on its way.
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


async def test_what_comes_after_the_answer_without_end_is_cut_off(front: Front) -> None:
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    reply = await front.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * 100)
    assert reply == b"" or reply.startswith(b"HTTP/1.1 413 ")


async def test_a_trailer_is_not_a_header(front: Front) -> None:
    trailer = b"X-Webhook-Token: " + TOKEN.encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailer + b"\r\n\r\n"
    assert (await front.raw(POST + CLOSE + chunked)).startswith(b"HTTP/1.1 401 ")


UPGRADE = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}


@pytest.mark.parametrize("offered", [UPGRADE, {"connection": "upgrade", "upgrade": "websocket"}])
async def test_an_upgrade_that_is_offered_is_not_taken_and_the_body_is(front: Front, offered: dict[str, str]) -> None:
    for number in range(2):
        body = stripe_event(f"evt_{number}")
        for outcome in ("accepted", "duplicate"):
            reply = await front.client.post("/webhooks/stripe", content=body, headers=signature(body) | offered)
            assert reply.json() == {"status": outcome}


async def test_an_upgrade_may_be_offered_in_pieces_and_with_a_body_in_chunks(front: Front) -> None:
    offered = b"".join(f"{name}: {value}\r\n".encode() for name, value in UPGRADE.items())
    body = json.dumps(order_event("o1")).encode()
    chunked = KNOWN + offered + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    whole = KNOWN + offered + CLOSE + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    reply = await front.raw(*(bytes([byte]) for byte in chunked), whole)
    assert reply.count(b"HTTP/1.1 200 OK") == 2
    assert reply.endswith(b'{"status":"duplicate"}')
    assert b'{"status":"accepted"}' in reply


async def test_an_upgrade_may_be_offered_behind_a_request_that_is_not_answered_yet(front: Front) -> None:
    one, other = (json.dumps(order_event(name)).encode() for name in ("o1", "o2"))
    sent = KNOWN + b"Content-Length: %d\r\n\r\n%s" % (len(one), one)
    offered = KNOWN + b"Connection: close, upgrade\r\nUpgrade: h2c\r\n"
    reply = await front.raw(sent + offered + b"Content-Length: %d\r\n\r\n%s" % (len(other), other))
    assert reply.count(b'{"status":"accepted"}') == 2


async def test_any_number_of_upgrades_may_be_offered_at_once(front: Front) -> None:
    offered = b"GET /healthz HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    reply = await front.raw((offered + b"\r\n") * 2_000 + offered.replace(b"upgrade", b"close", 1) + b"\r\n")
    assert reply.count(b"HTTP/1.1 200 OK") == 2_001


async def test_the_body_of_an_offered_upgrade_is_bounded(front: Front) -> None:
    reply = await front.client.post("/webhooks/shop", content=b"x" * 2000, headers=UPGRADE)
    assert reply.status_code == 413


async def test_requests_may_follow_one_another_without_waiting(front: Front) -> None:
    one = b"Content-Length: 2\r\n\r\n{}"
    reply = await front.raw((KNOWN + one) * 3 + KNOWN + CLOSE + one)
    assert reply.count(b"HTTP/1.1 200 OK") == 4


@pytest.mark.parametrize("count", [1, 3])
async def test_a_sender_may_close_its_side_and_wait_for_the_answers(front: Front, count: int) -> None:
    for i in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        for k in range(count):
            body = json.dumps(order_event(f"{i}.{k}")).encode()
            writer.write(KNOWN + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.write_eof()
        assert (await reader.read()).count(b'{"status":"accepted"}') == count
        writer.close()


async def test_who_closes_its_side_in_the_middle_is_hung_up_on(front: Front) -> None:
    for sent in (b"", b"POST /webh", KNOWN + b"Content-Length: 9\r\n\r\n{"):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        writer.close()
    assert await front.count("shop", "unavailable") == 0


async def test_a_sender_may_ask_before_it_sends_the_body(front: Front) -> None:
    asked = await front.raw(POST + CLOSE + b"Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
    assert asked.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /webh",
        POST + b"x: y\r\n",
        KNOWN + b"Content-Length: 2\r\n\r\n{}",
        KNOWN + b"Content-Length: 2\r\n\r\n{}" + b"POST",
        POST + b"Content-Length: 5000\r\n\r\nx",
    ],
)
async def test_a_connection_on_which_nothing_happens_is_closed(
    front: Front, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener.protocol, "IDLE_SECONDS", 0.2)
    reply = await front.raw(sent)
    assert reply.count(b"HTTP/1.1") == (b"\r\n\r\n" in sent)
