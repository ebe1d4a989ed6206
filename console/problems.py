"""Errors: for scripts as `application/problem+json` (RFC 9457), for people at a browser as a page."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from console.drawing import PAGE_HEADERS, drawn
from storage.database import StorageUnavailable

# What the router raises by itself has only the name of the status as its detail.
_DETAILS = {404: "There is nothing at this address.", 405: "This address does not take this method."}


class ProblemResponse(JSONResponse):
    """An error; `detail` is one sentence for people."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        super().__init__(content, status, headers)


def refuse(parameter: str, mend: str) -> NoReturn:
    """Answer 400: this parameter is wrong."""
    raise HTTPException(400, f"{parameter}: {mend}")


def no_such_entry() -> HTTPException:
    """404: no entry has this id, and none had it."""
    return HTTPException(404, "There is no entry with this id.")


def no_such_order() -> HTTPException:
    """404: nothing was told of this order."""
    return HTTPException(404, "No storefront of this name has told of an order of this number.")


async def of_http(request: Request, error: Exception) -> Response:
    """What an endpoint or the router refused."""
    assert isinstance(error, HTTPException)
    by_router = error.detail == HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, error.detail) if by_router else error.detail
    return _problem(request, error.status_code, detail, error.headers)


async def of_storage(request: Request, error: Exception) -> Response:
    """The database does not answer now."""
    assert isinstance(error, StorageUnavailable)
    return _problem(request, 503, "The database cannot be used now. Please ask again.", {"retry-after": "5"})


async def of_fault(request: Request, __: Exception) -> Response:
    """A fault of ours. It is logged, not told."""
    return _problem(request, 500, "This went wrong here, and has been logged.")


def _problem(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    at_browser = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if not at_browser:
        return ProblemResponse(status, detail, headers)
    shown = drawn("problem.html", title=HTTPStatus(status).phrase, detail=detail, session=None, said=None)
    return HTMLResponse(shown, status, {**PAGE_HEADERS, **(headers or {})})
