"""The console as a process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.console.harness import TOKENS, UNKNOWN_ID, bearer, environment

_PROGRAM = """
import atexit, sys
import console.parameters
from config import logs
from console.server import serve
from sources.registry import load
console.parameters.BODY_SECONDS = 0.5
atexit.register(lambda: print(*sys.modules))
logs.setup("info", "text")
serve(load())
"""


@dataclass
class ConsoleProcess:
    """What a test knows of it."""

    process: asyncio.subprocess.Process
    port: int
    client: httpx.AsyncClient
    told: bytes
    """What it logged until it listened."""

    async def raw(self, sent: bytes) -> bytes:
        """Write the bytes to a connection of their own; everything that comes back until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def started(database_url: str, **settings: str) -> AsyncIterator[ConsoleProcess]:
    """A console process that answers; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        env=os.environ | environment(database_url, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        told = b""
        while b"listening address=" not in told:
            line = await process.stderr.readline()
            assert line, "the console did not start"
            told += line
        port = int(told.rpartition(b":")[2])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield ConsoleProcess(process, port, client, told)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_it_answers_beside_another_one_and_stops_with_status_0(database_url: str) -> None:
    async with started(database_url) as one, started(database_url) as other:
        for path in ("/healthz", "/readyz"):
            assert (await one.client.get(path)).json() == {"status": "ok"}
        answer = await other.client.get("/api/v1/entries", headers=bearer(TOKENS["vic"]))
        assert answer.json() == {"entries": [], "next_cursor": None}
        assert "server" not in answer.headers
        # A proxy on this machine that speaks TLS says so; and a session is one for all consoles of a database.
        proxied = {"x-forwarded-proto": "https", "sec-fetch-site": "same-origin"}
        signed_in = await one.client.post("/signin", data={"token": TOKENS["vic"]}, headers=proxied)
        cookie = signed_in.headers["set-cookie"]
        assert "; Secure" in cookie
        page = await other.client.get("/exceptions", headers={"cookie": cookie.partition(";")[0]})
        assert "Nothing needs you." in page.text
        metrics = (await other.client.get("/metrics")).text
        assert 'refund_ledger_console_requests_total{status="200"} 2.0' in metrics
        assert "process_resident_memory_bytes" in metrics
        one.process.send_signal(signal.SIGTERM)
        modules, log = await one.process.communicate()
        assert one.process.returncode == 0
        assert "stripe" not in modules.decode().split()
        assert b"Traceback" not in log


async def test_broken_http_and_a_body_that_does_not_end_are_no_fault(sqlite_url: str) -> None:
    head = (
        f"POST /api/v1/entries/{UNKNOWN_ID}/note HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n"
        f"authorization: Bearer {TOKENS['ann']}\r\n\r\n"
    )
    async with started(sqlite_url) as running:
        answer = await running.raw(head.encode() + b'{"text":')
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer
        for broken in (b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n"):
            assert (await running.raw(broken)).startswith(b"HTTP/1.1 4")
        assert (await running.client.get("/healthz")).status_code == 200


async def test_a_console_that_nobody_can_use_says_so_and_answers_401(sqlite_url: str) -> None:
    async with started(sqlite_url, api_tokens="{}") as running:
        assert b"nobody can use the console" in running.told
        assert (await running.client.get("/api/v1/entries", headers=bearer("none"))).status_code == 401
        assert (await running.client.get("/healthz")).status_code == 200
