"""Events of a shop and its gateway, and how the tests have them worked off. Times are hours after T0."""
# ruff: noqa: ANN401 - the fields that a test leaves out have many types

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from ledger.derive import derive
from ledger.entries import Entry
from ledger.facts import Decision, Fact, encode
from ledger.instants import SECOND, Instant, from_rfc3339, to_rfc3339
from sources.registry import OPERATOR, Configuration, load, policy
from storage.database import Database, NewEvent
from storage.entries import HistoryLine, entries_after, load_history
from storage.facts import StoredFact, facts_after
from storage.schema import entry_history
from sync.metrics import Metrics
from sync.supervise import Stop
from sync.work import Worker, settle

T0 = from_rfc3339("2025-03-01T00:00:00Z")
HOUR = 3600 * SECOND


def at(hours: float) -> Instant:
    return T0 + round(hours * HOUR)


LATER = at(60 * 24)
"""When every grace period and pending limit has run out."""


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """The configuration of a Stripe source `stripe` and an Infigo source `shop`, as environment variables."""
    values = {
        "DATABASE_URL": database_url,
        "SYNC_BIND": "127.0.0.1:0",
        "LEDGER_START": "2025-01-01T00:00:00Z",
        "SOURCES__STRIPE__KIND": "stripe",
        "SOURCES__STRIPE__WEBHOOK_SECRETS": '["whsec_of_the_tests"]',
        "SOURCES__SHOP__KIND": "infigo",
        "SOURCES__SHOP__WEBHOOK_TOKEN": "token-of-the-tests",
        **{name.upper(): value for name, value in settings.items()},
    }
    return {f"REFUND_LEDGER_{name}": value for name, value in values.items()}


def configured(database_url: str = "sqlite:////nowhere/ledger.db", **settings: str) -> Configuration:
    """The same, loaded."""
    return load(environ=environment(database_url, **settings))


SOURCES = configured().sources
RULES = policy(configured(), 0)


def refund(number: int = 1, amount: int = 1500, hours: float = 2, **more: Any) -> NewEvent:
    """Stripe tells of refund re_<number> of payment pi_1, or of `payment`."""
    key = more.pop("key", f"evt_re_{number}_{more.get('status')}")
    payment = more.pop("payment", "pi_1")
    made = int(at(hours) // SECOND)
    snapshot = {"id": f"re_{number}", "object": "refund", "amount": amount, "currency": "gbp", "status": "succeeded",
                "payment_intent": payment, "charge": None, "created": made, "metadata": {}} | more  # fmt: skip
    body = {"id": key, "type": "refund.created", "livemode": True, "created": made, "data": {"object": snapshot}}
    return NewEvent("stripe", key, "refund.created", "webhook", at(hours), {}, json.dumps(body).encode())


def order(number: int = 1, refunded: str | None = "15.00", hours: float = 3, **more: Any) -> NewEvent:
    """The shop tells of order <1000 + number>, paid by pi_<number>, over 100.00 GBP."""
    key = more.pop("key", f"order-{number}-{hours}")
    fields = {"Id": 1000 + number, "OrderStatus": "Complete", "PaymentStatus": "PartiallyRefunded",
              "OrderTotal": "100.00", "RefundedAmount": refunded, "CustomerCurrencyCode": "GBP",
              "CaptureTransactionId": f"pi_{number}"} | more  # fmt: skip
    body = {"event": "order.changed", "id": key, "occurred_at": to_rfc3339(at(hours)), "order": fields}
    return NewEvent("shop", key, "order.changed", "webhook", at(hours), {}, json.dumps(body).encode())


def fact_event(fact: Fact, key: str | None = None, received_at: Instant = T0) -> NewEvent:
    """An event that says just this: as a decision is written, which any fact can be."""
    return NewEvent(OPERATOR, key, type(fact).__name__, "operator", received_at, {}, encode(fact).encode())


def decided(action: Any, entry: Entry, hours: float = 40, **more: Any) -> NewEvent:
    """What an operator decides on seeing the entry."""
    more = {"id": f"{action}-{hours}", "actor": "ann", "text": "because"} | more
    return fact_event(
        Decision(
            action=action,
            at=at(hours),
            entry_id=entry.id,
            anchor=entry.anchor,
            refunds=tuple(f"{r.source}/{r.id}" for r in entry.gateway_refunds) if "link" in action else (),
            fingerprint=entry.fingerprint,
            **more,
        ),
        received_at=at(hours),
    )


async def deliver(database: Database, *events: NewEvent) -> None:
    """Into the journal, in this order."""
    for event in events:
        await database.append([event])


async def work_off(database: Database, now: Instant = LATER) -> None:
    """Interpret and pair until nothing is left to do at that time."""
    await settle(database, SOURCES, RULES, lambda: now)


async def ledger(database: Database) -> dict[str, Entry]:
    """The entries, by id."""
    async with database.read() as conn:
        return {entry.id: entry for entry in await entries_after(conn, "", 100_000)}


async def only_entry(database: Database) -> Entry:
    [entry] = (await ledger(database)).values()
    return entry


async def stored_facts(database: Database) -> list[StoredFact]:
    async with database.read() as conn:
        return await facts_after(conn, 0, 100_000)


async def derived(database: Database, now: Instant = LATER) -> dict[str, Entry]:
    """What the entries have to be: those of all stored facts at once."""
    return by_id(derive([stored.fact for stored in await stored_facts(database)], RULES, now).entries)


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries}


async def history(database: Database, entry_id: str) -> list[HistoryLine]:
    async with database.read() as conn:
        return await load_history(conn, entry_id)


async def whole_history(database: Database) -> list[Sequence[Any]]:
    """Every row, in order, without its id: a sequence leaves gaps."""
    columns = [column for column in entry_history.c if column.name != "id"]
    async with database.read() as conn:
        return [tuple(row) for row in await conn.execute(select(*columns).order_by(entry_history.c.id))]


@asynccontextmanager
async def working(database: Database, clock: Callable[[], Instant] = lambda: LATER) -> AsyncIterator[None]:
    """The sync loop at work meanwhile."""
    stop = Stop()
    worker = Worker(database, SOURCES, RULES, Metrics(), clock)
    task = asyncio.create_task(worker.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
