"""Polls that are killed anywhere: nothing is lost, and no checkpoint passes what is not stored."""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from ledger.instants import SECOND, Instant
from storage.database import Database, StorageUnavailable
from storage.polling import Checkpoint, load_checkpoints, move_checkpoint
from sync import poll
from tests.interrupted import cut_short
from tests.polling.world import HOUR, World

ROUNDS = 30
AWAITS = 120
"""More than there are in a poll of the small stretch that each round adds."""


def business(world: World, number: int) -> None:
    """Refunds at both gateways; no webhook arrives."""
    charge = world.stripe.pay(100_00, metadata={"order_id": str(number)})
    world.shop.place(str(number), "100.00", world.stripe.find(charge)["payment_intent"])
    world.stripe.refund(charge, 40_00)
    sale = world.anet.sell("100.00", str(number + 5000))
    world.anet.settle()
    world.anet.refund(sale, "40.00", str(number + 5000))
    world.pass_(2 * HOUR)


async def assert_nothing_is_passed(world: World) -> None:
    """Everything that the lists tell of the time before their checkpoints is in the journal."""
    await world.work()
    reached = {name: point.reached for name, point in (await world.checkpoints("stripe")).items()}
    passed = {e["id"] for e in world.stripe.events() if e["created"] * SECOND < reached.get("events", 0)}
    assert passed <= await world.keys("stripe")
    known = {refund.id for entry in await world.entries() for refund in entry.gateway_refunds}
    made = [e["data"]["object"] for e in world.stripe.events("refund.created")]
    assert {r["id"] for r in made if r["created"] * SECOND < reached.get("refunds", 0)} <= known
    reached = {name: point.reached for name, point in (await world.checkpoints("anet")).items()}
    assert settled_refunds(world, reached.get("settled", 0)) <= known


def settled_refunds(world: World, before: Instant) -> set[str]:
    """Authorize.net's refunds that settled before then."""
    refunds = [t for t in world.anet.transactions.values() if t.type == "refundTransaction" and t.batch]
    return {refund.id for refund in refunds if world.anet.batches[refund.batch or ""] < before}


async def test_a_poll_that_is_cancelled_at_any_await_loses_nothing(both: World) -> None:
    chance = random.Random(189)
    for number in range(ROUNDS):
        business(both, 1000 + number)
        for name in ("stripe", "anet"):
            both.polls[name]._feeds_at = 0
            await cut_short(both.polls[name].step(), chance.randrange(AWAITS))
        await assert_nothing_is_passed(both)

    await both.poll()

    known = {refund.id for entry in await both.entries() for refund in entry.gateway_refunds}
    assert len(known) == 2 * ROUNDS


async def test_a_journal_that_cannot_be_written_holds_the_checkpoint_back(
    both: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    business(both, 1001)
    append = both.database.append

    async def refuse(_: object) -> list[bool]:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(both.database, "append", refuse)
    for name in ("stripe", "anet"):
        with pytest.raises(StorageUnavailable):
            await both.turn(name)
    await assert_nothing_is_passed(both)
    assert "refunds" not in await both.checkpoints("stripe")

    monkeypatch.setattr(both.database, "append", append)
    await both.poll()
    await assert_nothing_is_passed(both)
    assert len(await both.entries()) == 2


async def test_a_checkpoint_that_cannot_be_written_is_fetched_up_to_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = world.stripe.pay(100_00)
    world.stripe.refund(charge, 40_00)
    world.pass_(HOUR)
    move = move_checkpoint

    async def refuse(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(poll, "move_checkpoint", refuse)
    with pytest.raises(StorageUnavailable):
        await world.turn("stripe")
    assert await world.checkpoints("stripe") == {}
    stored = await world.keys("stripe")
    assert len(stored) == 4

    monkeypatch.setattr(poll, "move_checkpoint", move)
    await world.turn("stripe")
    assert await world.keys("stripe") == stored
    assert set(await world.checkpoints("stripe")) == {"events", "refunds"}


async def test_two_processes_may_move_one_checkpoint(database: Database) -> None:
    async def move(reached: Instant) -> None:
        async with database.write() as conn:
            await move_checkpoint(conn, Checkpoint("stripe", "events", reached, reached))

    moves: list[Awaitable[None]] = [move(reached) for reached in range(10)]
    await asyncio.gather(*moves)
    async with database.read() as conn:
        assert len(await load_checkpoints(conn, "stripe")) == 1
