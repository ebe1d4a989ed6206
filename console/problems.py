"""Errors as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

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


async def of_http(_: Request, error: Exception) -> Response:
    """What an endpoint or the router refused."""
    assert isinstance(error, HTTPException)
    by_router = error.detail == HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, error.detail) if by_router else error.detail
    return ProblemResponse(error.status_code, detail, error.headers)


async def of_storage(_: Request, error: Exception) -> Response:
    """The database does not answer now."""
    assert isinstance(error, StorageUnavailable)
    return ProblemResponse(503, "The database cannot be used now. Please ask again.", {"retry-after": "5"})


async def of_fault(_: Request, __: Exception) -> Response:
    """A fault of ours. It is logged, not told."""
    return ProblemResponse(500, "This went wrong here, and has been logged.")
