"""The whole house as it is installed: listener, sync and console as processes of their own, on loopback."""

import asyncio
import hashlib
import hmac
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Table, func, select

from ledger.instants import SECOND, from_rfc3339
from sources.registry import Configuration, load
from storage.database import Database, open_database
from storage.dead_letters import count_backlog
from storage.facts import count_due
from storage.schema import journal
from tests.e2e.messages import HOUR, T0

ROLES = ("listener", "sync", "console")
SECRET = "whsec_of_the_tests"
SHOP_TOKEN = "shop-token-of-the-tests"
API_TOKEN = "api-token-of-the-tests"
TRIES = 2_000
PAUSE_SECONDS = 0.05

_CONFIGURATION = """\
database_url = "{database_url}"
grace_period = "24h"
pending_limit = "7d"
public_bind = "127.0.0.1:{listener}"
sync_bind = "127.0.0.1:{sync}"
console_bind = "127.0.0.1:{console}"

[api_tokens.tests]
role = "operator"
token = "{api_token}"

[sources.stripe]
kind = "stripe"
webhook_secrets = ["{secret}"]

[sources.shop]
kind = "infigo"
webhook_token = "{shop_token}"
payment_methods = {{ "Payments.Stripe" = "stripe" }}
offline_methods = ["Payments.PurchaseOrder"]
"""


class House:
    """The processes on one database, and what a test sends to them and reads from them."""

    database: Database
    """The same database, opened by the test."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.kind = database_url.partition(":")[0]
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = _environment(folder.parent / "bytecode")
        ports = dict(zip(ROLES, _free_ports(len(ROLES)), strict=True))
        self.toml = folder / "refund-ledger.toml"
        self.toml.write_text(
            _CONFIGURATION.format(
                database_url=database_url, secret=SECRET, shop_token=SHOP_TOKEN, api_token=API_TOKEN, **ports
            )
        )
        self._urls = {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}
        self._clients: dict[str, httpx.AsyncClient] = {}

    # Processes -------------------------------------------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """What the processes read."""
        return load(self.toml, environ={})

    async def start(self, *roles: str) -> None:
        """Start these processes, and wait until they answer."""
        for role in roles:
            with self._output(role).open("ab") as output:
                self._processes[role] = subprocess.Popen(  # noqa: ASYNC220 (it is awaited below)
                    self.command(role), cwd=self._folder, env=self._environment, stderr=output
                )
        for role in roles:
            # A client of its own: what the process before it has left of connections is gone with it.
            if role in self._clients:
                await self._clients[role].aclose()
            headers = {"authorization": f"Bearer {API_TOKEN}"} if role == "console" else {}
            self._clients[role] = httpx.AsyncClient(
                base_url=self._urls[role], headers=headers, timeout=30, trust_env=False, verify=False
            )
            await self._until_it_answers(role)

    async def _until_it_answers(self, role: str) -> None:
        for _ in range(TRIES):
            assert self._processes[role].poll() is None, f"{role} ended: {self.output()}"
            try:
                if (await self._clients[role].get("/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"{role} does not answer: {self.output()}")

    def kill(self, role: str) -> None:
        """Kill -9."""
        process = self._processes.pop(role)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL, f"{role} had ended before: {self.output()}"

    async def stop(self, role: str) -> int:
        """SIGTERM; the exit status."""
        process = self._processes.pop(role)
        process.terminate()
        return await asyncio.to_thread(process.wait, 30)

    def process_id(self, role: str) -> int:
        """Of a running process."""
        return self._processes[role].pid

    def command(self, *arguments: str) -> list[str]:
        """The command line with this house's configuration."""
        return [sys.executable, "-m", "cli.main", "--config", str(self.toml), *arguments]

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command to its end: exit status, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        printed, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode(), said.decode()

    async def close(self) -> None:
        """End everything."""
        for role in tuple(self._processes):
            await self.stop(role)
        for client in self._clients.values():
            await client.aclose()

    def output(self) -> str:
        """What the processes have written."""
        written = [f"--- {role}\n{self._output(role).read_text()}" for role in ROLES if self._output(role).exists()]
        return "\n".join(written)

    def _output(self, role: str) -> Path:
        return self._folder / f"{role}.log"

    # Sending ---------------------------------------------------------------------------------------------------------

    async def post(self, source: str, body: bytes, headers: Mapping[str, str | bytes] | None = None) -> httpx.Response:
        """Deliver a webhook, signed as its sender does unless `headers` say otherwise."""
        given: Any = proof(source, body) if headers is None else headers
        return await self._clients["listener"].post(f"/webhooks/{source}", content=body, headers=given)

    async def tell(self, *bodies: bytes) -> None:
        """Deliver these one after the other, each accepted as new, and wait until the ledger shows them."""
        for body in bodies:
            reply = await self.post(source_of(body), body)
            assert (reply.status_code, reply.json()) == (200, {"status": "accepted"})
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is left to be interpreted or paired."""
        for _ in range(TRIES):
            async with self.database.read() as conn:
                waiting = await count_backlog(conn) or await count_due(conn, time.time_ns() // 1000)
            if not waiting:
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"sync does not get done: {self.output()}")

    # Reading ---------------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 (JSON or text)
        """What the console's API answers."""
        reply = await self._clients["console"].get(f"/api/v1/{path}", params=query)
        assert reply.status_code == 200, reply.text
        return reply.json() if reply.headers["content-type"] == "application/json" else reply.text

    async def entries(self, **query: str | int) -> list[Any]:
        """All the entries that the query chooses, page by page."""
        page = await self.get("entries", **query)
        found = list(page["entries"])
        while page["next_cursor"]:
            page = await self.get("entries", **query, cursor=page["next_cursor"])
            found += page["entries"]
        return found

    async def lines(self, order: int) -> list[str]:
        """The entries of an order, each in one line."""
        return [line(entry) for entry in await self.entries(order=str(order))]

    async def line(self, refund_id: str) -> str:
        """The entry of a gateway refund, in one line."""
        [found] = [
            e for e in await self.entries(limit=1000) for r in e["gateway_refunds"] or () if r["id"] == refund_id
        ]
        return line(found)

    async def metrics(self, role: str) -> dict[str, float]:
        """The metrics of a process, by name (without `refund_ledger_`) and labels."""
        found: dict[str, float] = {}
        reply = await self._clients[role].get("/metrics")
        for family in text_string_to_metric_families(reply.text):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name.removeprefix('refund_ledger_')}{{{labels}}}".replace("{}", "")] = sample.value
        return found

    async def journal_keys(self) -> list[str]:
        """The identity of every event in the journal."""
        async with self.database.read() as conn:
            return list((await conn.scalars(select(journal.c.event_key))).all())

    async def count(self, table: Table) -> int:
        """The rows of a table."""
        async with self.database.read() as conn:
            return (await conn.execute(select(func.count()).select_from(table))).scalar_one()


standing: list[House] = []
"""The houses that are up: what their processes wrote is shown with a test that fails."""


@asynccontextmanager
async def house(folder: Path, database_url: str, *roles: str) -> AsyncIterator[House]:
    """A house with these processes running, all of them where none is named; whatever happens, they end."""
    built = House(folder, database_url)
    standing.append(built)
    try:
        await built.start(*(roles or ROLES))
        async with open_database(database_url, "cli") as built.database:
            yield built
    finally:
        await built.close()
        standing.remove(built)


def source_of(body: bytes) -> str:
    """Who sends such a body."""
    return "stripe" if b'"api_version"' in body else "shop"


def proof(source: str, body: bytes) -> dict[str, str]:
    """The headers by which the sender proves itself, now."""
    if source == "shop":
        return {"authorization": f"Bearer {SHOP_TOKEN}"}
    now = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={now},v1={mac}"}


def line(entry: dict[str, Any]) -> str:
    """An entry in one line: status, order, both sides member by member, amounts. Times are hours after T0."""
    told_amounts = entry["verified"] or not entry["storefront_refunds"]
    head = (entry["status"], entry["reason"], None if told_amounts else "unverified", entry["order_id"])
    made = (
        f"{r['id']} {'' if r['kind'] == 'refund' else r['kind'] + ' '}{r['status']} {_money(r)}"
        for r in entry["gateway_refunds"] or ()
    )
    recorded = (_money(r) for r in entry["storefront_refunds"] or ())
    parts = [" ".join(filter(None, head)), " + ".join(made), " + ".join(recorded), _sums(entry)]
    return " | ".join(filter(None, parts))


def _money(refund: dict[str, Any]) -> str:
    hours = (from_rfc3339(refund["at"]) / SECOND - T0) / HOUR
    return f"{refund['amount'] or '?'} {refund['currency']} {hours:g}h"


def _sums(entry: dict[str, Any]) -> str:
    """As 12.50-15.00=-2.50: gateway, storefront, difference; or what there is of it."""
    if entry["difference"] is not None:
        sums = f"{entry['gateway_amount']}-{entry['storefront_amount']}={entry['difference']}"
    else:
        names = {"gateway_amount": "made", "storefront_amount": "recorded", "expected_amount": "expected"}
        sums = " ".join(f"{name} {entry[field]}" for field, name in names.items() if entry[field] is not None)
    return sums if entry["lag_seconds"] is None else f"{sums} lag {entry['lag_seconds']}"


def _environment(bytecode: Path) -> dict[str, str]:
    """This one, without a configuration of its own. To compile everything is by far the longest part of a start, so
    where Python is told to keep no bytecode it is kept in this folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFUND_LEDGER_")}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode)} if kept.pop("PYTHONDONTWRITEBYTECODE", "") else kept


def _free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients: none of these may take the place of a killed process."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
