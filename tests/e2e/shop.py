"""A running listener before a storefront and gateways that can be asked, and the ledger behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from ledger.entries import Entry
from ledger.instants import DAY, Instant, from_rfc3339
from sources import http_client
from sources.registry import policy
from storage.database import open_database
from storage.entries import entries_after
from storage.journal import Journal
from sync.metrics import Metrics
from sync.poll import Polling
from sync.work import settle
from tests.e2e.messages import order
from tests.listener.harness import TOKEN, configured, running

NOW = from_rfc3339("2026-11-25T12:00:00Z")
"""When the gateways are asked."""
LATER = NOW + 60 * DAY
"""When every grace period has run out."""


class Shop:
    """What a test knows of them."""

    def __init__(self, client: httpx.AsyncClient, database_url: str, settings: dict[str, str]) -> None:
        self.client = client
        self._url = database_url
        self._configuration = configured(database_url, **settings)

    async def send(self, source: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """A delivery to the listener."""
        return await self.client.post(f"/webhooks/{source}", content=body, headers=headers)

    async def told(self, source: str, *bodies: bytes) -> list[str]:
        """Deliveries that prove themselves by their bodies, and what each was taken as."""
        return [(await self.send(source, body)).json()["status"] for body in bodies]

    async def ordered(self, number: int, transaction: str, refunded: int, **more: object) -> None:
        """The shop tells of an order over 100.00 of which so much is recorded as refunded."""
        told = order(number, 5, "PartiallyRefunded", refunded=refunded, CaptureTransactionId=transaction,
                     PaymentMethodSystemName="Payments.Other", **more)  # type: ignore[arg-type]  # fmt: skip
        reply = await self.send("shop", told, {"x-webhook-token": TOKEN})
        assert reply.json() == {"status": "accepted"}

    async def poll(self, name: str, now: Instant = NOW) -> float:
        """Ask a gateway: its lists, then what they leave open; how much of it nothing had told of."""
        source, metrics = self._configuration.sources[name], Metrics()
        async with open_database(self._url, "sync") as database, Journal(database) as journal:
            polling = Polling(database, journal, source, metrics.polls.of(name), lambda: now)
            polling._poller = source.poller()
            rules = policy(self._configuration, 0)
            try:
                await settle(database, self._configuration.sources, rules, lambda: now)
                for _ in range(3):
                    await polling.step()
                    await settle(database, self._configuration.sources, rules, lambda: now)
            finally:
                await polling._poller.close()
        line = f'refund_ledger_recovered_events_total{{source="{name}"}} '
        [told] = [text for text in metrics.text().decode().splitlines() if text.startswith(line)]
        return float(told.removeprefix(line))

    async def entries(self) -> list[str]:
        """Every entry, after all that arrived was worked off: status, reason, order, and what is in it."""
        async with open_database(self._url, "sync") as database:
            await settle(database, self._configuration.sources, policy(self._configuration, 0), lambda: LATER)
            async with database.read() as conn:
                found = await entries_after(conn, "", 1000)
        return sorted(map(_line, found))


@asynccontextmanager
async def opened(folder: Path, monkeypatch: Any, settings: dict[str, str]) -> AsyncIterator[Shop]:  # noqa: ANN401
    """Everything is up, with these settings of sources."""
    monkeypatch.setattr(http_client, "system_clock", lambda: NOW)
    url, settings = f"sqlite:///{folder}/ledger.db", {"LEDGER_START": "2026-01-01T00:00:00Z", **settings}
    async with running(configured(url, **settings)) as front:
        yield Shop(front.client, url, settings)


def _line(entry: Entry) -> str:
    made = [f"{r.kind} {r.status} {r.amount}" for r in entry.gateway_refunds]
    recorded = [str(r.amount) for r in entry.storefront_refunds]
    return " | ".join((entry.status, entry.reason or "", entry.order_id or "", "+".join(made), "+".join(recorded)))
