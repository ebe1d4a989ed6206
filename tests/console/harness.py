"""A console over a real database, and the ledger that it shows: facts come in as sync takes them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.types import ASGIApp

from console.app import build
from ledger.entries import Entry
from ledger.facts import Fact, OrderFact, decode, encode
from sources.registry import Configuration, load
from storage.database import Database, NewEvent
from storage.facts import claim_inbox, store_facts
from storage.journal import Journal
from sync.metrics import Metrics
from sync.supervise import Stop
from sync.work import Worker, settle
from tests.ledger.build import LATER, POLICY, entries

TOKENS = {"ann": "the-operators-token", "vic": "the-viewers-token"}
UNKNOWN_ID = "0" * 32


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """The configuration of a Stripe source `stripe` and an Infigo source `shop`, of an operator and a viewer."""
    values = {
        "DATABASE_URL": database_url,
        "CONSOLE_BIND": "127.0.0.1:0",
        "API_TOKENS": json.dumps(
            {
                "ann": {"role": "operator", "token": TOKENS["ann"]},
                "vic": {"role": "viewer", "token": TOKENS["vic"]},
            }
        ),
        "SOURCES__STRIPE__KIND": "stripe",
        "SOURCES__STRIPE__WEBHOOK_SECRETS": '["whsec_of_the_tests"]',
        "SOURCES__SHOP__KIND": "infigo",
        "SOURCES__SHOP__WEBHOOK_TOKEN": "token-of-the-tests",
        **{name.upper(): value for name, value in settings.items()},
    }
    return {f"REFUND_LEDGER_{name}": value for name, value in values.items()}


def configured(database_url: str) -> Configuration:
    """The same, loaded."""
    return load(environ=environment(database_url))


@dataclass
class Desk:
    """What a test knows of a console."""

    database: Database
    operator: httpx.AsyncClient
    viewer: httpx.AsyncClient
    anybody: httpx.AsyncClient
    """Without a token."""
    journal: Journal
    app: ASGIApp
    told: list[Fact] = field(default_factory=list)

    async def tell(self, *facts: Fact, pair: bool = True) -> None:
        """Have the facts arrive, each in an event of its own, and pair them as of LATER."""
        self.told += facts
        await self.journal.append([_event(fact, len(self.told), i) for i, fact in enumerate(facts)])
        async with self.database.write() as conn:
            received = await claim_inbox(conn, 1_000)
            await store_facts(conn, [(r, [decode(r.event.body.decode())]) for r in received], [], LATER)
        if pair:
            await self.catch_up()

    async def catch_up(self) -> None:
        """Have sync do once what there is to do."""
        await settle(self.database, {}, POLICY, lambda: LATER)

    def expected(self) -> list[Entry]:
        """The entries of everything that was told."""
        return entries(*self.told)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Sync at work beside the console."""
        stop = Stop()
        worker = Worker(self.database, {}, POLICY, Metrics(), lambda: LATER)
        working = asyncio.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await working

    async def entry(self, number: int = 0) -> dict[str, Any]:
        """An entry of the first page, as the API shows it."""
        return dict((await self.get("/api/v1/entries"))["entries"][number])

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """What a viewer reads there."""
        answer = await self.viewer.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def decide(self, entry_id: str, action: str, **body: object) -> httpx.Response:
        """What an operator does."""
        return await self.operator.post(f"/api/v1/entries/{entry_id}/{action}", json=body)


@dataclass
class Browser:
    """Somebody at a browser: keeps cookies, sends forms as a browser does, and says where it came out."""

    client: httpx.AsyncClient

    async def get(self, path: str, status: int = 200) -> str:
        """The page, after any redirect."""
        answer = await self.client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, status: int = 200, **fields: str | list[str]) -> str:
        """Load the page, fill in its form, send it; the page after that."""
        page = await self.get(path)
        hidden: dict[str, list[str]] = {}
        for name, value in re.findall('<input type="hidden" name="([a-z]+)" value="([^"]*)"', page.split("<main")[1]):
            hidden.setdefault(name, []).append(value)
        return await self.post(path.partition("?")[0], status, **{**hidden, **fields})

    async def post(self, path: str, status: int = 200, **fields: str | list[str]) -> str:
        """Send these fields, from a page of the console."""
        headers = {"accept": "text/html", "origin": "http://console"}
        answer = await self.client.post(path, data=fields, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.text


@asynccontextmanager
async def browsing(desk: Desk, name: str = "ann") -> AsyncIterator[Browser]:
    """Signed in with that person's token."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=desk.app), base_url="http://console", follow_redirects=True, timeout=30
    ) as client:
        browser = Browser(client)
        await browser.post("/signin", token=TOKENS[name])
        yield browser


def _event(fact: Fact, batch: int, number: int) -> NewEvent:
    source = fact.store if isinstance(fact, OrderFact) else getattr(fact, "source", "operator")
    kind = type(fact).__name__
    return NewEvent(source, f"{batch}-{number}", kind, "webhook", LATER, {}, encode(fact).encode())


@asynccontextmanager
async def at_desk(database_url: str, database: Database) -> AsyncIterator[Desk]:
    """A console in this process."""
    async with Journal(database) as journal:
        app = await build(configured(database_url), database, journal, lambda: LATER)
        async with (
            _client(app, bearer(TOKENS["ann"])) as operator,
            _client(app, bearer(TOKENS["vic"])) as viewer,
            _client(app, {}) as anybody,
        ):
            yield Desk(database, operator, viewer, anybody, journal, app)


def bearer(token: str) -> dict[str, str]:
    """The header that carries the token."""
    return {"authorization": f"Bearer {token}"}


def _client(app: ASGIApp, headers: dict[str, str]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://console", headers=headers, timeout=30)


def ids(found: Iterable[dict[str, Any]]) -> list[str]:
    """Of entries as the API shows them."""
    return [entry["id"] for entry in found]
