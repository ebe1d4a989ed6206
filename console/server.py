"""The console as a process: uvicorn around the application."""

import asyncio
import logging
import signal
import socket
import time
from types import FrameType
from typing import NoReturn

import uvicorn
import uvloop

from config.system import listening
from config.values import Bind
from console.app import build
from ledger.instants import Instant
from sources.registry import Configuration
from storage.database import open_database
from storage.journal import Journal

STOP_SECONDS = 10
"""How long requests may take that were there when the stop came."""

log = logging.getLogger(__name__)


def serve(configuration: Configuration) -> None:
    """Answer until SIGTERM or SIGINT; then finish what was begun, and leave with status 0.

    Raises StorageUnavailable where the database cannot be opened, OSError where the address cannot be had.
    """
    if not configuration.settings.api_tokens:
        log.warning("nobody can use the console: api_tokens in the configuration is empty")
    with listening("console_bind", configuration.settings.console_bind) as door:
        log.info("listening", extra={"address": str(Bind(*door.getsockname()[:2]))})
        # uvicorn repeats the signal to whoever had it before, once it has finished.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(configuration, door))


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


async def _run(configuration: Configuration, door: socket.socket) -> None:
    async with (
        open_database(configuration.settings.database_url, role="console") as database,
        Journal(database) as journal,
    ):
        config = uvicorn.Config(
            await build(configuration, database, journal, _now),
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=True,  # whether the browser speaks TLS, and its address; believed on this machine only
            forwarded_allow_ips=["127.0.0.1", "::1"],
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        await uvicorn.Server(config).serve([door])


def _now() -> Instant:
    return time.time_ns() // 1000
