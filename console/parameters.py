"""What a request says: checked before anything is done, and where it is wrong, told which part and how to mend it."""

import asyncio
import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from config.problems import nearest
from console.problems import refuse
from ledger.entries import REASONS, STATUSES
from ledger.instants import Instant, from_rfc3339
from storage.entries import EntryFilter

FILTERS = ("status", "reason", "source", "order", "since", "until")
LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
BODY_MAX = 64 * 1024
BODY_SECONDS = 10.0
TEXT_MAX = 255
FIELDS_MAX = 300


def query(request: Request, names: Collection[str]) -> dict[str, str]:
    """The query's parameters, those without a value left out."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names:
            _unknown(name, names)
        if name in given:
            refuse(name, "is given twice; give it once")
        given[name] = value
    return {name: value for name, value in given.items() if value}


def entry_filter(given: dict[str, str]) -> EntryFilter:
    """Which entries the query asks for."""
    return EntryFilter(
        status=_one_of(given, "status", STATUSES),
        reason=_one_of(given, "reason", REASONS),
        source=_source(given),
        order_id=_order(given),
        since=_time(given, "since"),
        until=_time(given, "until"),
    )


def limit(given: dict[str, str]) -> int:
    """How many entries a page has."""
    text = given.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= LIMIT_MAX:
        refuse("limit", f"has to be a whole number from 1 to {LIMIT_MAX}")
    return int(text)


async def body(request: Request, names: Collection[str]) -> dict[str, Any]:
    """The JSON object that the request's body is; an empty body is an empty object."""
    raw = await _read(request)
    try:
        content = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    if not isinstance(content, dict):
        raise HTTPException(400, "The body has to be a JSON object.")
    for name in content:
        if name not in names:
            _unknown(name, names)
    return content


async def form(request: Request) -> dict[str, list[str]]:
    """The fields of the form that the request's body is."""
    raw = await _read(request)
    try:
        return parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise HTTPException(400, "The body is not a form.") from None


def text(content: dict[str, Any], name: str) -> str:
    """A text that has to be there."""
    value = content.get(name)
    if not isinstance(value, str):
        refuse(name, "is missing" if value is None else "has to be a text")
    return value


def text_or_null(content: dict[str, Any], name: str) -> str | None:
    """A text, or null, and one of the two has to be there."""
    if name not in content:
        refuse(name, "is missing; give a text, or null for none")
    return None if content[name] is None else text(content, name)


def instant(name: str, value: str) -> Instant:
    """A moment."""
    try:
        return from_rfc3339(value)
    except ValueError:
        refuse(name, 'has to be a time as "2026-11-20T10:00:00Z"; in an address, a + is written %2B')


async def _read(request: Request) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_MAX:
                    raise HTTPException(413, f"The body is larger than {BODY_MAX} bytes.")
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time.", {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "The body ended too early.") from None
    return bytes(raw)


def _unknown(name: str, names: Collection[str]) -> None:
    shown = ascii(name[:60])
    refuse(shown, f"is not a parameter here; {nearest(name, names)}" if names else "is not a parameter here")


def _one_of(given: dict[str, str], name: str, values: Collection[str]) -> str | None:
    value = given.get(name)
    if value is not None and value not in values:
        refuse(name, f"has to be one of {', '.join(values)}")
    return value


def _source(given: dict[str, str]) -> str | None:
    value = given.get("source")
    if value is not None and not re.fullmatch("[a-z0-9_]{1,64}", value):
        refuse("source", "has to be the name of a source: a-z, 0-9 and _")
    return value


def _order(given: dict[str, str]) -> str | None:
    value = given.get("order")
    if value is not None and len(value) > TEXT_MAX:
        refuse("order", f"is longer than {TEXT_MAX} characters")
    return value


def _time(given: dict[str, str], name: str) -> Instant | None:
    return instant(name, given[name]) if name in given else None
