"""How the process is: for supervisors and Prometheus, without a token."""

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
from storage.database import Database
from storage.readiness import Readiness

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, that nobody reads


class Health:
    """Health and metrics of one console."""

    def __init__(self, database: Database) -> None:
        self._readiness = Readiness(database)
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
        if not await self._readiness.is_ready():
            return ProblemResponse(503, "Storage cannot be written.", {"retry-after": "5"})
        return JSONResponse({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        """The Prometheus text."""
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})
