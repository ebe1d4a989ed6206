"""The sync process: its loops, and the small HTTP server that answers for it."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.collector import calm_collector
from config.system import listening
from config.values import Bind
from ledger.instants import Instant
from sources.registry import Configuration, policy
from storage.database import Database, StorageUnavailable, open_database
from storage.facts import mark_unconfigured
from storage.journal import Journal
from storage.meta import created_at
from sync.announce import notice_rules
from sync.gauges import GaugeReader
from sync.metrics import Metrics
from sync.poll import Polling
from sync.retention import Retaining
from sync.supervise import Stop, supervise
from sync.work import Worker

log = logging.getLogger(__name__)


def now() -> Instant:
    """The time, in microseconds."""
    return time.time_ns() // 1000


def serve(configuration: Configuration) -> None:
    """Keep the ledger until SIGTERM or SIGINT; then finish the batch in hand, and return.

    Raises AlreadyRunning where another sync process has the SQLite file, StorageUnavailable where the database cannot
    be opened, OSError where the address cannot be had.
    """
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(configuration))


async def _serve(configuration: Configuration) -> None:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_database(configuration.settings.database_url, "sync") as db:
        async with db.write() as conn:
            rules = policy(configuration, await created_at(conn))
            await mark_unconfigured(conn, now())
        metrics = Metrics()
        notices = await notice_rules(db, configuration, now())
        worker = Worker(db, configuration.sources, rules, metrics, now, notices)
        gauges = GaugeReader(db, list(configuration.sources), metrics, _folder(configuration.settings.database_url))
        async with _answering(configuration, db, metrics), Journal(db) as journal, asyncio.TaskGroup() as loops:
            loops.create_task(supervise("pairing", worker.run, stop))
            loops.create_task(supervise("gauges", gauges.run, stop))
            if (retention := configuration.settings.retention).cut_bodies_after is not None:
                loops.create_task(supervise("retention", Retaining(db, retention, now).run, stop))
            for source in configuration.sources.values():
                if source.askable:
                    polling = Polling(db, journal, source, metrics.polls.of(source.name), now)
                    loops.create_task(supervise(f"polling of {source.name}", polling.run, stop))
            for name, loop in _telling(configuration, db, metrics).items():
                loops.create_task(supervise(name, loop, stop))


def _telling(
    configuration: Configuration, db: Database, metrics: Metrics
) -> dict[str, Callable[[Stop], Awaitable[None]]]:
    """The loops that tell customers and receivers, by name. What they need is loaded where there are any."""
    loops: dict[str, Callable[[Stop], Awaitable[None]]] = {}
    settings = configuration.settings
    if settings.customer_notice:
        from sync.customers import CustomerNotices

        told = CustomerNotices(db, configuration.sources, settings.customer_notice, metrics.customer_notices, now)
        loops["customer notices"] = told.run
    if settings.notices:
        from sync.receivers import Outgoing

        for name, receiver in settings.notices.items():
            loops[f"notices to {name}"] = Outgoing(db, name, receiver, metrics.outgoing_notices, now).run
    return loops


def _folder(database_url: str) -> Path | None:
    """Where a SQLite database lies."""
    scheme, _, path = database_url.partition(":///")
    return Path(path).parent if scheme == "sqlite" else None


class _Server(uvicorn.Server):
    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        """The process decides when to end: the loops finish first."""
        return nullcontext()


@asynccontextmanager
async def _answering(configuration: Configuration, db: Database, metrics: Metrics) -> AsyncIterator[None]:
    """Answer HTTP for as long as the context lasts."""
    config = uvicorn.Config(
        application(db, metrics),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    with listening("sync_bind", configuration.settings.sync_bind) as door:
        serving = asyncio.create_task(server.serve([door]))
        log.info("listening", extra={"address": str(Bind(*door.getsockname()[:2]))})
        try:
            yield
        finally:
            server.should_exit = True
            await serving


def application(db: Database, metrics: Metrics) -> Starlette:
    """`/healthz`, `/readyz`, `/metrics`."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        try:
            await db.check_writable()
        except StorageUnavailable:
            return JSONResponse({"status": "storage cannot be written"}, 503, {"retry-after": "5"})
        return JSONResponse({"status": "ok"})

    async def exposition(_: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)])
