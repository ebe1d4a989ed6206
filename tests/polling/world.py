"""A storefront, a gateway, what they send and what becomes of it, and our ledger: all by one clock that tests move."""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

import pytest
from sqlalchemy import select

from ledger.entries import Entry
from ledger.instants import SECOND, Instant, from_rfc3339
from ledger.present import entry_json
from sources import http_client
from sources.base import Delivery
from sources.registry import Configuration, load, policy
from storage.database import Database, NewEvent
from storage.entries import entries_after
from storage.journal import Journal
from storage.polling import Checkpoint, load_checkpoints
from storage.schema import journal
from sync.metrics import Metrics
from sync.poll import Polling
from sync.supervise import Stop
from sync.work import Worker
from tests.fakes import authorizenet, infigo, stripe
from tests.fakes.authorizenet import FakeAuthorizeNet
from tests.fakes.infigo import FakeInfigo
from tests.fakes.stripe import FakeStripe

T0 = from_rfc3339("2026-09-01T00:00:00Z")
HOUR = 3600 * SECOND

Webhook: TypeAlias = tuple[str, bytes]
"""To which source, and the body."""


class World:
    """The shop, its two gateways, and our ledger on one database."""

    database: Database
    journal: Journal
    configuration: Configuration

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.stripe = FakeStripe(T0)
        self.anet = FakeAuthorizeNet(T0)
        self.shop = FakeInfigo(T0)
        self.now = T0
        self.metrics = Metrics()
        self.polls: dict[str, Polling] = {}
        self.signing_secret = stripe.SECRET
        """With which Stripe signs."""
        self.sent: list[Webhook] = []
        """Webhooks on their way, oldest first."""

    # Time ------------------------------------------------------------------------------------------------------------

    def go_to(self, now: Instant) -> None:
        """It is then."""
        self.now = self.stripe.now = self.anet.now = self.shop.now = now

    def pass_(self, duration: Instant) -> None:
        """So much time goes by."""
        self.go_to(self.now + duration)

    def clock(self) -> Instant:
        """The time."""
        return self.now

    # What is sent ----------------------------------------------------------------------------------------------------

    def collect(self, *changed_orders: str) -> None:
        """What the gateways and the shop send of what has just happened."""
        self.sent += [("stripe", stripe.body_of(event)) for event in self.stripe.outbox]
        self.sent += [("anet", body) for body in self.anet.notifications]
        self.sent += [("shop", self.shop.changed(order)) for order in changed_orders]
        self.stripe.outbox.clear()
        self.anet.notifications.clear()

    async def deliver(self, *webhooks: Webhook) -> list[bool]:
        """As the listener takes them: verified, journaled. Whether each was accepted, be it as a duplicate."""
        return [await self._deliver(source, body) for source, body in webhooks]

    async def deliver_all(self) -> None:
        """Everything that is on its way arrives."""
        waiting, self.sent = self.sent, []
        assert all(await self.deliver(*waiting))

    async def _deliver(self, name: str, body: bytes) -> bool:
        source = self.configuration.sources[name]
        proofs: dict[str, Callable[[], dict[str, str]]] = {
            "stripe": lambda: stripe.signed(body, self.now, self.signing_secret),
            "anet": lambda: authorizenet.signed(body),
            "shop": lambda: {"authorization": "Bearer token-of-the-tests"},
        }
        delivery = Delivery(proofs[name](), body, self.now)
        if not source.authentic(delivery):
            return False
        used = [m for m in source.messages(delivery) if m.verdict != "ignored"]
        events = [NewEvent(name, m.key, m.type, "webhook", self.now, {}, m.body) for m in used]
        await self.journal.append(events)
        return True

    # Our side --------------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Interpret and pair until nothing is left to do."""
        rules = policy(self.configuration, 0)
        worker = Worker(self.database, self.configuration.sources, rules, self.metrics, self.clock)
        while await worker.step():
            pass

    async def turn(self, name: str) -> float:
        """Poll a source once, its lists included; how long it wants to pause."""
        self.polls[name]._feeds_at = 0
        return await self.polls[name]._turn(Stop())

    async def poll(self) -> None:
        """Poll every source, work it off, and ask what that left open."""
        await self.work()
        for name in self.polls:
            await self.turn(name)
        await self.work()
        for polling in self.polls.values():
            await polling.ask_due()
        await self.work()

    @asynccontextmanager
    async def configured(self, **changes: str) -> AsyncIterator[None]:
        """Our processes run with this configuration."""
        self.configuration = load(environ=self._environment | {f"REFUND_LEDGER_{n}": v for n, v in changes.items()})
        async with AsyncExitStack() as stack:
            self.journal = await stack.enter_async_context(Journal(self.database))
            for name, source in self.configuration.sources.items():
                if source.askable:
                    metrics = self.metrics.polls.of(name)
                    self.polls[name] = Polling(self.database, self.journal, source, metrics, self.clock)
                    self.polls[name]._poller = poller = source.poller()
                    self.polls[name]._faults_at = math.inf  # the endpoint has tests of its own
                    poller._http._pace._gap = 0
                    stack.push_async_callback(self.polls[name]._poller.close)
            yield
        self.polls.clear()

    @asynccontextmanager
    async def open(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["World"]:
        """Everything is up, with the usual configuration."""
        self.database = database
        monkeypatch.setattr(http_client, "system_clock", self.clock)
        async with AsyncExitStack() as stack:
            bases = {
                "STRIPE": stack.enter_context(self.stripe.serving()) if "stripe" in self.kinds else "",
                "ANET": stack.enter_context(self.anet.serving()) if "anet" in self.kinds else "",
                "SHOP": stack.enter_context(self.shop.serving()),
            }
            self._environment = _environment({name: base for name, base in bases.items() if base})
            await stack.enter_async_context(self.configured())
            yield self

    # Looking ---------------------------------------------------------------------------------------------------------

    async def entries(self) -> list[Entry]:
        """The ledger."""
        async with self.database.read() as conn:
            return await entries_after(conn, "", 100_000)

    async def lines(self) -> list[str]:
        """The ledger, a line for each entry: status, reason, order, both amounts."""
        return sorted(_line(entry_json(e)) for e in await self.entries())

    async def keys(self, source: str) -> set[str]:
        """The identities of a source's events in the journal."""
        async with self.database.read() as conn:
            return set(await conn.scalars(select(journal.c.event_key).where(journal.c.source == source)))

    async def checkpoints(self, source: str) -> dict[str, Checkpoint]:
        """How far its lists have been fetched."""
        async with self.database.read() as conn:
            return await load_checkpoints(conn, source)

    def counted(self, name: str, source: str) -> float:
        """A counter or gauge of polling."""
        for line in self.metrics.text().decode().splitlines():
            if line.startswith(f'refund_ledger_{name}{{source="{source}"}} '):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"there is no {name} of {source}")


def _line(entry: dict[str, Any]) -> str:
    told = (entry["status"], entry["reason"], entry["order_id"], entry["gateway_amount"], entry["storefront_amount"])
    return " ".join(str(one) for one in told if one is not None)


def _environment(bases: dict[str, str]) -> dict[str, str]:
    values = {
        "LEDGER_START": "2026-08-01T00:00:00Z",
        "SOURCES__SHOP__KIND": "infigo",
        "SOURCES__SHOP__WEBHOOK_TOKEN": "token-of-the-tests",
        "SOURCES__SHOP__API_TOKEN": infigo.TOKEN,
    }
    if "STRIPE" in bases:
        values |= {
            "SOURCES__STRIPE__KIND": "stripe",
            "SOURCES__STRIPE__WEBHOOK_SECRETS": f'["{stripe.SECRET}"]',
            "SOURCES__STRIPE__API_KEY": stripe.KEY,
            "SOURCES__STRIPE__LIVEMODE": "false",
        }
    if "ANET" in bases:
        values |= {
            "SOURCES__ANET__KIND": "authorizenet",
            "SOURCES__ANET__WEBHOOK_SECRETS": f'["{authorizenet.SIGNATURE_KEY}"]',
            "SOURCES__ANET__API_LOGIN_ID": authorizenet.LOGIN,
            "SOURCES__ANET__TRANSACTION_KEY": authorizenet.KEY,
            "SOURCES__ANET__CURRENCY": "GBP",
        }
    for name in bases.keys() - {"SHOP"}:
        values[f"SOURCES__{name}__POLL_SINCE"] = "1d"  # nothing happened before
    for name, base in bases.items():
        values |= {f"SOURCES__{name}__API_BASE": base, f"SOURCES__{name}__REQUESTS_PER_SECOND": "100"}
    return {f"REFUND_LEDGER_{name}": value for name, value in values.items()}


def view(entry: Entry, *, times: bool = True) -> dict[str, Any]:
    """The entry without what depends on when it was looked at: the storefront tells no time of a refund."""
    told = entry_json(entry)
    for name in ("opened_at", "matched_at", "lag_seconds", "due_at", "explanation", "suggestions"):
        del told[name]
    for refund in told["storefront_refunds"] or ():
        del refund["at"]
    for refund in told["gateway_refunds"] or ():
        # Authorize.net tells no time of a void and of a chargeback.
        if not times or (refund["source"] == "anet" and refund["kind"] != "refund"):
            del refund["at"]
    return told
