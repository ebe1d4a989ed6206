"""How much memory each process takes: when it has just started, and at most while it has work to do."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import httpx

from bench.databases import KINDS, LABELS, Databases
from bench.events import PER_ORDER, in_disorder
from bench.extent import Extent
from bench.load import drive
from bench.machine import OTHER_CORE, memory_mib, worker
from bench.site import API_TOKEN, CONSOLE, LISTENER, SYNC, Process, running
from ledger.instants import Instant
from storage.database import open_database
from storage.dead_letters import count_backlog
from storage.facts import count_due

CONNECTIONS = 64
LOOKS = 1_200
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process, MiB."""

    database: str
    process: str
    idle: float
    peak: float


def measure(databases: Databases, extent: Extent, now: Instant, say: Callable[[str], None]) -> list[Memory]:
    """All three processes on one database; webhooks arrive, are paired, and the ledger is read from end to end."""
    found: list[Memory] = []
    for kind in KINDS:
        with ExitStack() as stack:
            url = databases.new(kind)
            commands = {"listener": LISTENER, "sync": SYNC, "console": CONSOLE}
            processes = {
                name: stack.enter_context(running(url, databases.folder, command)) for name, command in commands.items()
            }
            idle = {name: memory_mib(process.pid)[0] for name, process in processes.items()}
            sender = stack.enter_context(worker(OTHER_CORE))
            orders = range(extent.requests // PER_ORDER)
            sender.submit(drive, processes["listener"], CONNECTIONS, partial(in_disorder, orders, now)).result()
            asyncio.run(_paired(url))
            say(f"{LABELS[kind]}: {read_ledger(processes['console']):,} entries were read")
            peak = {name: memory_mib(process.pid)[1] for name, process in processes.items()}
            found += [Memory(kind, name, idle[name], peak[name]) for name in processes]
    return found


async def _paired(database_url: str) -> None:
    async with open_database(database_url, "cli") as database:
        for _ in range(LOOKS):
            async with database.read() as conn:
                if not await count_backlog(conn) and not await count_due(conn, time.time_ns() // 1000):
                    return
            await asyncio.sleep(PAUSE_SECONDS)
    raise RuntimeError("sync does not get done")


def read_ledger(console: Process) -> int:
    """Read every entry of the API, in its largest pages, and the export; how many there are."""
    headers = {"authorization": f"Bearer {API_TOKEN}"}
    with httpx.Client(base_url=f"{console.url}/api/v1", headers=headers, timeout=60, trust_env=False) as client:
        count, query = 0, {"limit": "1000"}
        while query.get("cursor", "") is not None:
            page = client.get("/entries", params=query).raise_for_status().json()
            count += len(page["entries"])
            query["cursor"] = page["next_cursor"]
        client.get("/export.csv").raise_for_status()
    return count
