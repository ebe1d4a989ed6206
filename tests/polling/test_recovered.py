"""What only polling found is counted; what a webhook brought is not; what came both ways is one event."""

import asyncio

from storage.database import open_database
from sync.metrics import Metrics
from sync.poll import Polling
from sync.supervise import Stop
from tests.polling.world import HOUR, World


async def recovered(world: World) -> float:
    await world.turn("stripe")
    return world.counted("recovered_events_total", "stripe")


async def test_what_webhooks_brought_is_not_counted_also_before_it_is_interpreted(world: World) -> None:
    world.stripe.refund(world.stripe.pay(100_00, metadata={"order_id": "1001"}), 40_00)
    world.collect()
    await world.deliver_all()
    world.pass_(HOUR)
    before = await world.keys("stripe")

    assert await recovered(world) == 0

    assert before <= await world.keys("stripe")
    await world.work()
    assert await recovered(world) == 0
    assert len(await world.entries()) == 1


async def test_what_only_polling_found_is_counted_once(world: World) -> None:
    world.stripe.refund(world.stripe.pay(100_00), 40_00)
    world.collect()
    events = len(world.stripe.events())
    world.pass_(HOUR)

    assert await recovered(world) == events
    await world.work()
    assert await recovered(world) == events
    # The webhooks come after all.
    await world.deliver_all()
    await world.work()
    assert len([key for key in await world.keys("stripe") if key.startswith("evt_")]) == events
    [entry] = await world.entries()
    assert len(entry.gateway_refunds) == 1


async def test_a_refund_of_which_there_is_no_event_is_counted(world: World) -> None:
    charge = world.stripe.pay(100_00)
    world.collect()
    await world.deliver_all()
    await world.work()
    world.stripe.never_made = {"refund.created", "charge.refunded", "refund.updated", "refund.failed"}
    refund = world.stripe.refund(charge, 40_00)
    world.pass_(HOUR)
    assert await recovered(world) == 1
    await world.work()
    assert await recovered(world) == 1

    # What becomes of it is found by asking.
    world.stripe.becomes(refund, "failed")
    world.pass_(24 * HOUR)
    assert await recovered(world) == 2
    await world.work()
    assert await world.lines() == ["closed 0.00"]


async def test_only_the_leader_polls(postgres_url: str, world: World) -> None:
    async def turn(polling: Polling) -> list[str]:
        world.stripe.faults.requests.clear()
        polling._feeds_at = 0
        await polling._turn(Stop())
        return world.stripe.faults.requests

    stripe = world.configuration.sources["stripe"]
    world.pass_(HOUR)
    async with open_database(postgres_url, "sync") as first, open_database(postgres_url, "sync") as second:
        metrics = Metrics().polls.of("stripe")
        pollings = [Polling(db, world.journal, stripe, metrics, world.clock) for db in (first, second)]
        for polling in pollings:
            polling._poller = stripe.poller()
        assert await turn(pollings[0])
        assert await turn(pollings[1]) == []
        await first.close()
        # PostgreSQL lets the lock go when it has noticed that the connection is gone.
        for _ in range(100):
            if await turn(pollings[1]):
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("nobody polls")
        for polling in pollings:
            await polling._poller.close()
