"""Receivers of exceptions: what a real HTTP server gets, in good times and in bad."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import func, select
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from config.notices import Receiver
from ledger.instants import DAY, SECOND, Instant
from sources import http_client
from sources.http_client import HttpClient
from storage.database import Database
from storage.notices import add_outgoing_notices
from storage.schema import outgoing_notices
from sync.receivers import BATCH, DIGEST_SECONDS, FLOOD_SECONDS, LOOK_SECONDS, Outgoing
from sync.supervise import Stop
from tests.fakes.faults import Fault, Faults, answer, cut, serving, silence
from tests.sync.build import deliver, order, refund
from tests.sync.test_announce import work

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own example


class World:
    """A receiver, and the loop that tells it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now: Instant = time.time_ns() // 1000
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.faults = Faults(self._take)
        self.counted = Counter("n", "n", ("receiver", "outcome"), registry=CollectorRegistry())
        self.address = ""

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.got.append((dict(request.headers), await request.body()))
        await Response(b"ok")(scope, receive, send)

    async def step(self, kind: str = "webhook") -> float:
        """One round; seconds until the next."""
        settings: dict[str, Any] = {"kind": kind, "url": f"{self.address}/in?key=1"}
        if kind == "webhook":
            settings["secret"] = SECRET
        told = Outgoing(self.database, "ops", Receiver.model_validate(settings), self.counted, lambda: self.now)
        told._client = HttpClient(f"{self.address}/in?key=1", 1000, lambda: self.now)
        try:
            return await told.step(Stop())
        finally:
            await told._client.close()

    async def announce(self, *bodies: dict[str, Any]) -> None:
        async with self.database.write() as conn:
            await add_outgoing_notices(conn, ["ops"], [json.dumps(body) for body in bodies], self.now)

    async def waiting(self) -> int:
        async with self.database.read() as conn:
            return (await conn.execute(select(func.count()).select_from(outgoing_notices))).scalar_one()

    def count(self, outcome: str) -> float:
        counted: float = self.counted.labels("ops", outcome)._value.get()
        return counted

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def texts(self) -> list[str]:
        return [json.loads(body)["text"] for _, body in self.got]


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = World(database)
    with serving(made.faults) as made.address:
        yield made


def event(number: int, what: str = "opened", former: tuple[int, ...] = (), explanation: str = "Why.") -> dict[str, Any]:
    entry = {"id": f"e{number}", "reason": "amount_mismatch", "status": "unmatched", "explanation": explanation}
    before = [{"id": f"e{n}", "status": "unmatched"} for n in former]
    return {"type": f"exception.{what}", "data": {"entry": entry, "former": before}}


async def test_a_webhook_gets_a_signed_message_for_each_transition(world: World) -> None:
    await deliver(world.database, refund(), order(1, "0.00", PaymentStatus="Paid"))
    await work(world.database, world.now)
    await deliver(world.database, order(1, "15.00", hours=40))
    await work(world.database, world.now)
    await world.step()
    verified = [Webhook(SECRET).verify(body, headers) for headers, body in world.got]
    assert [message["type"] for message in verified] == ["exception.opened", "exception.cleared"]
    assert verified[0]["data"]["entry"]["reason"] == "missing_in_storefront"
    assert world.faults.requests == ["POST /in", "POST /in"]
    assert world.got[0][0]["content-type"] == "application/json"
    headers, body = world.got[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)
    assert (await world.waiting(), world.count("sent")) == (0, 2)


@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(404), answer(401), answer(302, location="/elsewhere"), cut, answer(429, retry_after="40")],
)
async def test_what_was_not_taken_is_sent_again_later_under_the_same_id(world: World, fault: Fault) -> None:
    world.faults.then(fault)
    await world.announce(event(1), event(2))
    pause = await world.step()
    assert pause >= 5
    assert world.faults.requests == ["POST /in"]  # the round ended, and no redirect was followed
    for _ in range(2):
        await world.step()
        world.now += 60 * SECOND
    assert len(world.got) == 2
    assert len(set(world.ids())) == 2
    assert (await world.waiting(), world.count("sent"), world.count("put_off")) == (0, 2, 1)


async def test_a_receiver_that_is_down_is_asked_later_and_later(world: World) -> None:
    settings = {"kind": "webhook", "url": world.address, "secret": SECRET}
    told = Outgoing(world.database, "ops", Receiver.model_validate(settings), world.counted, lambda: world.now)
    told._client = HttpClient(world.address, 1000, lambda: world.now)
    await world.announce(event(1))
    pauses = list[float]()
    for _ in range(5):
        world.faults.then(answer(500))
        pauses.append(await told.step(Stop()))
        world.now += DAY // 4
    assert pauses == [5, 30, 60, 300, 300]
    assert await told.step(Stop()) == LOOK_SECONDS
    await told._client.close()
    assert len(world.got) == 1


async def test_a_message_that_was_taken_and_not_remembered_comes_again_under_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    async def killed(*_: object) -> None:
        raise KilledError

    await world.announce(event(1))
    with monkeypatch.context() as patched:
        patched.setattr("sync.receivers.delete_outgoing_notices", killed)
        with pytest.raises(KilledError):
            await world.step()
    await world.step()
    assert len(world.got) == 2
    assert len(set(world.ids())) == 1


async def test_a_receiver_asks_for_a_pause(world: World) -> None:
    world.faults.then(answer(429, retry_after="1234"))
    await world.announce(event(1))
    assert await world.step() == 1234


async def test_a_receiver_that_says_nothing_is_not_waited_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "CALL_SECONDS_MAX", 0.2)
    world.faults.then(silence)
    await world.announce(event(1))
    await world.step()
    assert (await world.waiting(), world.count("put_off")) == (1, 1)


async def test_one_message_that_is_never_taken_does_not_stop_the_others_and_is_given_up(world: World) -> None:
    await world.announce(event(1))
    for _ in range(7):
        world.faults.then(answer(500))
        await world.step()
        world.now += DAY // 2
    assert (world.got, await world.waiting()) == ([], 1)
    await world.announce(event(2))
    await world.step()
    assert [json.loads(body)["data"]["entry"]["id"] for _, body in world.got] == ["e2"]
    assert (await world.waiting(), world.count("given_up")) == (0, 1)


async def test_many_go_out_round_after_round(world: World) -> None:
    await world.announce(*(event(n) for n in range(BATCH + 3)))
    assert await world.step() == 0
    assert await world.step() == LOOK_SECONDS
    assert [json.loads(body)["data"]["entry"]["id"] for _, body in world.got] == [f"e{n}" for n in range(BATCH + 3)]


async def test_a_chat_gets_one_message_about_all_that_happened(world: World) -> None:
    await world.announce(event(1), event(2, "changed", (2,)), event(3, "cleared", (3,)))
    assert await world.step("slack") == DIGEST_SECONDS
    [text] = world.texts()
    assert text.split("\n") == [
        "Refund Ledger, exceptions: 1 new, 1 changed, 1 cleared",
        "• new: amount_mismatch. Why.",
        "• changed: amount_mismatch. Why.",
        "• cleared: amount_mismatch. Why.",
    ]
    assert await world.waiting() == 0
    assert await world.step("slack") == LOOK_SECONDS
    assert len(world.got) == 1


async def test_a_flood_is_one_message_and_then_a_pause(world: World) -> None:
    await world.announce(*(event(n) for n in range(250)))
    assert await world.step("slack") == FLOOD_SECONDS
    [text] = world.texts()
    assert text.startswith("Refund Ledger, exceptions: 250 new\n")
    assert text.endswith("… and 240 more")
    assert text.count("\n") == 11
    assert (await world.waiting(), world.count("sent")) == (0, 250)


async def test_what_came_and_went_before_anybody_was_told_is_not_told_to_a_chat(world: World) -> None:
    await world.announce(event(1), event(2, "changed", (1,)), event(2, "cleared", (2,)))
    await world.announce(event(3), event(4, "changed", (3,)))
    await world.step("slack")
    assert [text.split("\n")[0] for text in world.texts()] == ["Refund Ledger, exceptions: 1 new"]
    await world.announce(event(5), event(5, "cleared", (5,)))
    await world.step("slack")
    assert (len(world.got), await world.waiting()) == (1, 0)


async def test_a_chat_is_told_what_is_so_in_the_end_compared_with_what_it_was_told_last(world: World) -> None:
    await world.announce(event(1, "cleared", (1,)), event(1), event(1, "cleared", (1,)))
    await world.announce(event(2, "cleared", (2,)), event(2))
    await world.announce(event(3), event(4, "changed", (3, 4)))
    await world.step("slack")
    [text] = world.texts()
    assert text.startswith("Refund Ledger, exceptions: 2 changed, 1 cleared\n• cleared")


async def test_nobody_can_call_a_channel_by_the_name_of_an_order(world: World) -> None:
    await world.announce(event(1, explanation="order <!channel> & <https://evil.example|x>, @all"))
    await world.step("slack")
    assert "@all" not in world.texts()[0]
    assert "order &lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;" in world.texts()[0]


async def test_a_chat_that_did_not_answer_is_told_later_together_with_what_came_meanwhile(world: World) -> None:
    await world.announce(event(1), event(2))
    for _ in range(3):
        world.faults.then(answer(503))
        assert await world.step("slack") >= 5
    assert (world.got, world.count("put_off")) == ([], 6)
    await world.announce(event(1, "cleared", (1,)), event(3))
    await world.step("slack")
    assert [text.split("\n")[0] for text in world.texts()] == ["Refund Ledger, exceptions: 2 new"]
    assert await world.waiting() == 0


async def test_an_address_never_shows(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.faults.then(answer(500))
    await world.announce(event(1))
    await world.step()
    [record] = [record for record in caplog.records if record.name == "sync.receivers"]
    assert "127.0.0.1" not in str(vars(record))
    assert "key=1" not in str(vars(record))
