"""The console's HTTP application: every address, and who may use it."""

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from console import problems
from console.access import Access
from console.actions import answer, ask, ask_for_many, resolve_many
from console.audit import show_audit
from console.context import Context
from console.entries import BODIES, act, list_entries, show_entry
from console.entry_page import show_entry_page
from console.exceptions import show_exceptions
from console.export import export
from console.guard import Guard
from console.health import Health
from console.openapi import document
from console.order_page import show_order_page
from console.orders import show_order
from console.overview import show_overview
from console.pages import Page, Pages, static, to_front
from console.report import download_report, show_report, show_report_page
from console.search import show_search
from console.session import Sessions
from console.signin import SignIn
from console.summary import show_summary
from ledger.instants import Instant
from sources.registry import Configuration, policy
from storage.database import Database, StorageUnavailable
from storage.journal import Journal
from storage.meta import session_secret


async def build(
    configuration: Configuration, database: Database, journal: Journal, clock: Callable[[], Instant]
) -> ASGIApp:
    """The application over an open database; `clock` tells the time of decisions."""
    # When the database was created matters to entries only, and none is made here.
    rules, zone = policy(configuration, created_at=0), configuration.settings.report_timezone
    context = Context(database, journal, configuration.sources, rules, clock, zone)
    access = Access(configuration.settings.api_tokens)
    sessions = Sessions(access, await session_secret(database))
    health = Health(database)
    app = Starlette(
        routes=[*routes(context, access, health), *page_routes(context, access, sessions)],
        exception_handlers={
            HTTPException: problems.of_http,
            StorageUnavailable: problems.of_storage,
            Exception: problems.of_fault,
        },
    )
    app.router.redirect_slashes = False  # it would send a client, with its token, where the Host header says
    return Guard(app, health.requests)


def routes(context: Context, access: Access, health: Health) -> list[Route]:
    """Every address for scripts."""
    read = {
        "/api/v1/entries": list_entries,
        "/api/v1/entries/{id}": show_entry,
        # An order's number may hold a slash.
        "/api/v1/orders/{source}/{order_id:path}": show_order,
        "/api/v1/export.csv": export,
        "/api/v1/report": show_report,
        "/api/v1/summary": show_summary,
    }
    decide = {f"/api/v1/entries/{{id}}/{action}": partial(act, context, action) for action in BODIES}
    return [
        *(Route(path, access.only("viewer", partial(endpoint, context))) for path, endpoint in read.items()),
        *(Route(path, access.only("operator", endpoint), methods=["POST"]) for path, endpoint in decide.items()),
        Route("/openapi.json", access.only("viewer", _openapi)),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
    ]


def page_routes(context: Context, access: Access, sessions: Sessions) -> list[Route]:
    """Every address for people at a browser."""
    pages, sign = Pages(context, sessions), SignIn(context, access, sessions)
    read: dict[str, Page] = {
        "/": to_front,
        "/exceptions": show_exceptions,
        "/entries/{id}": show_entry_page,
        "/orders/{store}/{order_id:path}": show_order_page,
        "/overview": show_overview,
        "/search": show_search,
        "/audit": show_audit,
        "/report": show_report_page,
        "/report.csv": download_report,
    }
    return [
        *(Route(path, pages.only("viewer", shown)) for path, shown in read.items()),
        Route("/resolve", pages.only("operator", ask_for_many)),
        Route("/resolve", pages.only("operator", resolve_many), methods=["POST"]),
        Route("/entries/{id}/{action}", pages.only("operator", ask)),
        Route("/entries/{id}/{action}", pages.only("operator", answer), methods=["POST"]),
        Route("/signin", sign.show),
        Route("/signin", sign.sign_in, methods=["POST"]),
        Route("/signout", pages.only("viewer", sign.sign_out), methods=["POST"]),
        Route("/static/{name}", static),
    ]


async def _openapi(_: Request) -> Response:
    return JSONResponse(document())
