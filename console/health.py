"""How the process is: for supervisors and Prometheus, without a token."""

import asyncio
import math
import time

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.problems import ProblemResponse
from storage.database import Database, StorageUnavailable

READY_SECONDS = 1
"""How long an answer of /readyz holds: it may be asked by anybody, and costs a commit."""

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, that nobody reads


class Health:
    """Health and metrics of one console."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._asked = -math.inf
        self._writable = False
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "refund_ledger_console_requests_total",
            "Requests to the console answered, by HTTP status.",
            ("status",),
            registry=self._registry,
        )

    async def healthz(self, _: Request) -> Response:
        """The process is alive."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """Storage can be written: decisions can be taken."""
        async with self._asking:
            if time.monotonic() - self._asked >= READY_SECONDS:
                try:
                    await self._database.check_writable()
                    self._writable = True
                except StorageUnavailable:
                    self._writable = False
                self._asked = time.monotonic()
        if not self._writable:
            return ProblemResponse(503, "Storage cannot be written.", {"retry-after": "5"})
        return JSONResponse({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        """The Prometheus text."""
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})
