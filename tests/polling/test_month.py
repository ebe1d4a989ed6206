"""A month in which webhooks are lost ends in the same ledger as one in which every webhook arrives."""

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ledger.instants import DAY
from storage.database import open_database
from tests.polling.month import POLLED_AT, happens
from tests.polling.world import T0, Webhook, World, view

Post = Callable[[World], Awaitable[None]]
SEED = 20_261_123
NEVER_MADE = ("refund.updated", "refund.failed")


async def delivered(world: World) -> None:
    """Everything arrives at once."""
    await world.deliver_all()


async def dropped(world: World) -> None:
    """Nothing ever arrives."""
    world.sent.clear()


class Half:
    """Half of it is lost; the rest arrives once or twice, some of it late, in any order."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._late: list[Webhook] = []

    async def __call__(self, world: World) -> None:
        """Some of what is on its way arrives."""
        for webhook in world.sent:
            self._late += [webhook] * self._random.choice((0, 0, 1, 2))
        world.sent.clear()
        self._random.shuffle(self._late)
        some = len(self._late) // 2
        assert all(await world.deliver(*self._late[:some]))
        del self._late[:some]


async def live_through(world: World, gateway: str, post: Post, *, polled: bool) -> None:
    """The month, day by day; and its end."""
    acts = happens(gateway)
    for end in (T0 + day * DAY for day in POLLED_AT):
        while acts and acts[0][0] < end:
            then, act = acts.pop(0)
            world.go_to(then)
            world.collect(*act(world))
            await post(world)
        world.go_to(end)
        await (world.poll() if polled else world.work())
    assert not acts


async def ledger_of(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    gateway: str,
    post: Post,
    *,
    polled: bool = True,
    never_made: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The ledger at the end of such a month."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url, "cli"))
        world = await stack.enter_async_context(World([gateway]).open(database, monkeypatch))
        world.stripe.never_made = set(never_made)
        await live_through(world, gateway, post, polled=polled)
        return sorted((view(entry) for entry in await world.entries()), key=lambda told: told["id"])


async def test_every_stripe_webhook_dropped_or_half_of_them_changes_nothing(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sqlite(name: str) -> str:
        return f"sqlite:///{tmp_path}/{name}.db"

    # Without polling: Stripe's webhooks tell everything.
    expected = await ledger_of(sqlite("all"), monkeypatch, "stripe", delivered, polled=False)
    assert len(expected) == 15

    # Nor does Stripe make an event of what becomes of a refund.
    assert await ledger_of(sqlite("none"), monkeypatch, "stripe", dropped, never_made=NEVER_MADE) == expected
    assert await ledger_of(postgres_url, monkeypatch, "stripe", Half()) == expected


async def test_every_authorizenet_webhook_dropped_or_half_of_them_changes_nothing(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With polling: no webhook of Authorize.net tells how a refund ended.
    expected = await ledger_of(f"sqlite:///{tmp_path}/all.db", monkeypatch, "anet", delivered)
    assert {told["reason"] for told in expected} >= {"refund_failed", "missing_in_storefront", "amount_mismatch"}

    assert await ledger_of(f"sqlite:///{tmp_path}/none.db", monkeypatch, "anet", dropped) == expected
    assert await ledger_of(postgres_url, monkeypatch, "anet", Half()) == expected
