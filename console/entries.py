"""The ledger's entries: pages of them, one with its history, and what an operator decides about it."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console import parameters
from console.context import Context
from console.parameters import FILTERS
from console.problems import no_such_entry, refuse
from ledger.entries import Entry
from ledger.facts import Action, Decision
from ledger.present import amount, entry_json, time
from storage.decisions import Conflict, Intent, Invalid, NoSuchEntry, decide, load_decisions
from storage.entries import HistoryLine, UnknownCursor, find_entry, load_history, page
from storage.suggestions import with_suggestions

BODIES: dict[Action, tuple[str, ...]] = {
    "resolve": ("reason",),
    "reopen": (),
    "link": ("source", "order_id"),
    "unlink": (),
    "snooze": ("until",),
    "assign": ("to",),
    "note": ("text",),
}
"""The actions, and what the body of each says."""


async def list_entries(context: Context, request: Request) -> Response:
    """A page of entries."""
    given = parameters.query(request, (*FILTERS, "limit", "cursor"))
    chosen, size = parameters.entry_filter(given), parameters.limit(given)
    try:
        async with context.database.read() as conn:
            found, cursor = await page(conn, chosen, size, given.get("cursor"))
            found = await with_suggestions(conn, found)
    except UnknownCursor:
        refuse("cursor", "is not one that a page gave as next_cursor; begin without it")
    return JSONResponse({"entries": [entry_json(entry) for entry in found], "next_cursor": cursor})


async def show_entry(context: Context, request: Request) -> Response:
    """One entry with its whole history."""
    parameters.query(request, ())
    async with context.database.read() as conn:
        entry = await find_entry(conn, _entry_id(request))
        if entry is None:
            raise no_such_entry()
        [entry] = await with_suggestions(conn, [entry])
        history = await load_history(conn, entry.id)
        decisions = {decision.id: decision for decision in await load_decisions(conn, entry)}
    lines = [history_json(line, entry, decisions) for line in history]
    return JSONResponse({**entry_json(entry), "history": lines})


async def act(context: Context, action: Action, request: Request) -> Response:
    """Decide something about an entry: 200 once it has taken effect, 202 where it is only stored yet."""
    parameters.query(request, ())
    content = await parameters.body(request, BODIES[action])
    intent = Intent(_entry_id(request), action, request.state.actor, context.clock(), **_details(action, content))
    try:
        decided = await decide(context.database, context.journal, intent)
    except NoSuchEntry:
        raise no_such_entry() from None
    except Invalid as fault:
        raise HTTPException(400, str(fault)) from None
    except Conflict as conflict:
        raise HTTPException(409, str(conflict)) from None
    async with context.database.read() as conn:
        [entry] = await with_suggestions(conn, [decided.entry])
    return JSONResponse(entry_json(entry), 200 if decided.in_effect else 202)


def _details(action: Action, content: dict[str, Any]) -> dict[str, Any]:
    match action:
        case "resolve":
            return {"text": parameters.text(content, "reason")}
        case "note":
            return {"text": parameters.text(content, "text")}
        case "assign":
            return {"text": parameters.text_or_null(content, "to") or ""}
        case "snooze":
            until = parameters.text_or_null(content, "until")
            return {"until": None if until is None else parameters.instant("until", until)}
        case "link":
            return {"store": parameters.text(content, "source"), "order_id": parameters.text(content, "order_id")}
        case "reopen" | "unlink":
            return {}


def _entry_id(request: Request) -> str:
    entry_id: str = request.path_params["id"]
    if not re.fullmatch("[0-9a-f]{32}", entry_id):
        raise no_such_entry()
    return entry_id


def history_json(line: HistoryLine, entry: Entry, decisions: Mapping[str, Decision]) -> dict[str, Any]:
    """A line of the history of the entry; its amounts were in the currencies that the entry has."""
    decision = decisions.get(line.decision_id or "")
    return {
        "at": time(line.at),
        "entry_id": line.entry_id,
        "status": line.status or None,
        "reason": line.reason or None,
        "change": {name: [_shown(name, value, entry) for value in pair] for name, pair in line.change.items()},
        "explanation": line.explanation,
        "caused_by": list(line.caused_by),
        "actor": line.actor,
        "decision": decision and decision_json(decision),
    }


def _shown(name: str, value: object, entry: Entry) -> object:
    """A value of the history as the entry itself would show it."""
    if not isinstance(value, int):
        return value
    if name.endswith("_amount"):
        return amount(value, entry.storefront_currency if name == "storefront_amount" else entry.currency)
    return time(value) if name == "snoozed_until" else value


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision without what the entry says of itself."""
    return {
        "id": decision.id,
        "action": decision.action,
        "text": decision.text or None,
        "store": decision.store or None,
        "order_id": decision.order_id or None,
        "until": time(decision.until),
    }
