"""A listener to send webhooks to: in this process, or as a process of its own; real sockets, real storage."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import select

from listener import server
from listener.app import Listener
from sources.registry import Configuration, load
from storage.database import open_database
from storage.schema import journal

SECRET = "whsec_of_the_tests"
TOKEN = "token-of-the-tests"


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """The configuration of a Stripe source `stripe` and an Infigo source `shop`, as environment variables."""
    values = {
        "DATABASE_URL": database_url,
        "PUBLIC_BIND": "127.0.0.1:0",
        "SOURCES__STRIPE__KIND": "stripe",
        "SOURCES__STRIPE__WEBHOOK_SECRETS": json.dumps([SECRET]),
        "SOURCES__SHOP__KIND": "infigo",
        "SOURCES__SHOP__WEBHOOK_TOKEN": TOKEN,
        **{name.upper(): value for name, value in settings.items()},
    }
    return {f"REFUND_LEDGER_{name}": value for name, value in values.items()}


def configured(database_url: str, **settings: str) -> Configuration:
    """The same, loaded."""
    return load(environ=environment(database_url, **settings))


def stripe_event(event_id: str, event_type: str = "refund.created", *, livemode: bool = True) -> bytes:
    """The body of a Stripe event; the listener looks at nothing more."""
    return json.dumps({"id": event_id, "type": event_type, "livemode": livemode, "data": {}}).encode()


def signature(body: bytes) -> dict[str, str]:
    """Stripe's header for this body, now."""
    now = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={now},v1={mac}"}


def order_event(event_id: str) -> dict[str, Any]:
    """An order-change event of the shop."""
    return {"event": "order.changed", "id": event_id, "order": {"Id": 1001}}


def assert_problem(reply: httpx.Response, status: int) -> None:
    """It is an error with this status, in the form that errors have."""
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.request.method == "HEAD" or reply.json()["status"] == status


@dataclass
class Front:
    """What a test knows of a running listener."""

    port: int
    client: httpx.AsyncClient
    listener: Listener | None = None
    server: uvicorn.Server | None = None

    async def stripe(self, body: bytes) -> httpx.Response:
        """Send a signed Stripe event."""
        return await self.client.post("/webhooks/stripe", content=body, headers=signature(body))

    async def shop(self, content: object) -> httpx.Response:
        """Send anything from the shop: bytes as they are, the rest as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.client.post("/webhooks/shop", content=body, headers={"x-webhook-token": TOKEN})

    async def raw(self, *parts: bytes) -> bytes:
        """Write the parts to a connection of their own; what comes back until it is closed, or reset."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        reply = b""
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while chunk := await reader.read(65536):
                reply += chunk
        writer.close()
        return reply

    async def count(self, source: str, outcome: str) -> float:
        """What /metrics says about `webhooks_total`."""
        line = f'refund_ledger_webhooks_total{{outcome="{outcome}",source="{source}"}} '
        text = (await self.client.get("/metrics")).text
        (value,) = [found.removeprefix(line) for found in text.splitlines() if found.startswith(line)]
        return float(value)


@asynccontextmanager
async def running(configuration: Configuration) -> AsyncIterator[Front]:
    """A listener in this process, behind the real server."""
    door = socket.create_server(("127.0.0.1", 0))
    port = door.getsockname()[1]
    async with server._application(configuration) as application:
        inner = uvicorn.Server(server._uvicorn(application, configuration))
        serving = asyncio.create_task(inner.serve([door]))
        async with _client(port) as client:
            yield Front(port, client, application, inner)
        inner.should_exit = True
        await serving


def _client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)


_PROGRAM = """
import atexit, sys
from config import logs
from listener.server import serve
from sources.registry import load
atexit.register(lambda: print(*sys.modules))
logs.setup("info", "text")
serve(load(), workers=int(sys.argv[1]))
"""


@dataclass
class ListenerProcess(Front):
    """A listener as a process of its own."""

    process: asyncio.subprocess.Process = field(kw_only=True)

    @property
    def workers(self) -> list[int]:
        """The process ids of uvicorn's workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]

    async def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit status, and the names of the modules that were loaded."""
        self.process.send_signal(signal.SIGTERM)
        modules, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, modules.decode()


@asynccontextmanager
async def started(database_url: str, workers: int = 1, **settings: str) -> AsyncIterator[ListenerProcess]:
    """A listener process that takes webhooks; killed at the end if it still runs."""
    process = await launched(database_url, workers, **settings)
    try:
        assert process.stderr
        told = b""
        while b"listening address=" not in told:
            told = await process.stderr.readline()
            assert told, "the listener did not start"
        port = int(told.rpartition(b":")[2])
        async with _client(port) as client:
            yield ListenerProcess(port, client, process=process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def launched(database_url: str, workers: int = 1, **settings: str) -> asyncio.subprocess.Process:
    """A listener process, however it fares."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        str(workers),
        env=os.environ | environment(database_url, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def stored(database_url: str) -> list[Any]:
    """The rows of the journal, in order."""
    async with open_database(database_url, "cli") as database, database.read() as conn:
        return list((await conn.execute(select(journal).order_by(journal.c.id))).all())
