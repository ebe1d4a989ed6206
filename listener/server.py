"""The listener as a process: uvicorn around the application, one worker or several."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from config import logs
from config.collector import calm_collector
from config.problems import ConfigError
from config.system import listening
from config.values import Bind
from listener.app import Listener
from listener.protocol import HEAD_MAX, IDLE_SECONDS, BoundedProtocol
from sources.registry import Configuration
from storage.database import migrate, open_database
from storage.journal import Journal

log = logging.getLogger(__name__)


def serve(configuration: Configuration, workers: int = 1) -> None:
    """Take webhooks until SIGTERM or SIGINT; then finish what was accepted, and leave with status 0.

    Raises ConfigError for several workers on SQLite, AlreadyRunning where another listener has the SQLite file,
    StorageUnavailable where the database cannot be opened, OSError where the address cannot be had.
    """
    settings = configuration.settings
    if workers > 1 and settings.database_url.startswith("sqlite"):
        raise ConfigError([f"workers = {workers}: SQLite takes one listener; use PostgreSQL for several"])
    if workers > 1:
        asyncio.run(migrate(settings.database_url))  # else every worker would fail, each in its own words
    with listening("public_bind", settings.public_bind, backlog=2048) as door:
        if workers > 1:
            _supervise(configuration, door, workers)
        else:
            # uvicorn repeats the signal to whoever had it before, once it has finished.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _leave)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_alone(configuration, door))


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _tell(door: socket.socket) -> None:
    log.info("listening", extra={"address": str(Bind(*door.getsockname()[:2]))})


async def _alone(configuration: Configuration, door: socket.socket) -> None:
    async with _application(configuration) as application:
        _tell(door)
        await uvicorn.Server(_uvicorn(application, configuration)).serve([door])


@asynccontextmanager
async def _application(configuration: Configuration) -> AsyncIterator[Listener]:
    async with open_database(configuration.settings.database_url, role="listener") as database:
        journal = Journal(database)
        listener = Listener(configuration, database, journal)
        calm_collector()
        try:
            yield listener
        finally:
            await journal.close()


def _uvicorn(application: Callable[..., Any], configuration: Configuration, workers: int = 1) -> uvicorn.Config:
    settings = configuration.settings
    # A byte of a body can cost six on the wire, where every chunk holds one.
    protocol: Any = partial(BoundedProtocol, request_max=HEAD_MAX + 8 * settings.max_body)
    return uvicorn.Config(
        application,
        factory=workers > 1,
        workers=workers,
        lifespan="on" if workers > 1 else "off",
        http=protocol,
        loop="uvloop",
        ws="none",
        interface="asgi3",
        log_config=None,
        log_level="error",  # below it uvicorn writes a line for each broken request, which anybody can send
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=int(settings.body_timeout.total_seconds()) + 5,
    )


class _Worker:
    """The application in one of several workers: it opens its own journal when uvicorn starts it."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._application: Listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        await receive()
        async with _application(self._configuration) as application:
            self._application = application
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _worker(configuration: Configuration) -> _Worker:
    logs.setup(configuration.settings.log_level, configuration.settings.log_format)
    return _Worker(configuration)


def _supervise(configuration: Configuration, door: socket.socket, workers: int) -> None:
    with TemporaryDirectory(prefix="refund-ledger-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the workers import the metrics
        config = _uvicorn(partial(_worker, configuration), configuration, workers)
        supervisor = Multiprocess(config, [door])
        _tell(door)
        supervisor.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        raise SystemExit(1)
