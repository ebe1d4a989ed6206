"""What operators decide at a browser: each action asks once, on a page of its own, and says afterwards what it did."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from console.context import Context
from console.drawing import plural
from console.exceptions import PAGE_SIZE
from console.pages import field, page, said_on_next_page
from console.problems import no_such_entry
from ledger.entries import Entry
from ledger.facts import Action
from ledger.instants import DAY, Instant
from storage.database import StorageUnavailable
from storage.decisions import Conflict, Decided, Intent, Invalid, NoSuchEntry, decide
from storage.entries import entries_by_id, find_entry
from storage.suggestions import with_suggestions


@dataclass(frozen=True)
class Ask:
    """How an action is asked for, and what is said when it is done."""

    question: str
    button: str
    done: str
    means: str


ASKS: dict[Action, Ask] = {
    "resolve": Ask(
        "Resolve", "Resolve", "Resolved", "It leaves the exceptions, and comes back by itself when its facts change."
    ),
    "reopen": Ask("Reopen", "Reopen", "Reopened", "It counts as open again."),
    "link": Ask("Link to an order", "Link", "Linked", "All its gateway refunds then belong to that order."),
    "unlink": Ask(
        "Take the link back", "Take back", "Took back the link of", "The rules decide again which order it is."
    ),
    "snooze": Ask(
        "Snooze", "Snooze", "Changed the snooze of", "It leaves the exceptions until then, or until its facts change."
    ),
    "assign": Ask("Assign", "Assign", "Assigned", "Leave it empty, and it is nobody's."),
    "note": Ask("Add a note", "Add the note", "Noted on", "It stands in the history, with your name."),
}
SNOOZES = {"1": "For a day", "3": "For 3 days", "7": "For a week", "14": "For two weeks", "30": "For 30 days"}
NOT_YET = "It is stored, and takes effect as soon as the sync process has seen it."


async def ask(context: Context, request: Request) -> Response:
    """The question, with the entry that it is about."""
    return await _asked(context, request, await _entry(context, request.path_params["id"]))


async def answer(context: Context, request: Request) -> Response:
    """Do it, and go back to the entry."""
    action, now = _action(request), context.clock()
    entry = await _entry(context, request.path_params["id"])
    person = request.state.session.person.name
    try:
        seen = field(request, "seen")
        intent = Intent(entry.id, action, person, now, **_details(action, request, now), seen=seen)
        decided = await decide(context.database, context.journal, intent)
    except NoSuchEntry:
        raise no_such_entry() from None
    except (Invalid, Conflict) as refusal:
        status = 400 if isinstance(refusal, Invalid) else 409
        entry = await _entry(context, entry.id)
        return await _asked(context, request, entry, problem=_sentence(refusal), status=status)
    done = f"{ASKS[action].done} entry {entry.id[:8]}."
    return said_on_next_page(request, f"/entries/{decided.entry.id}", done if decided.in_effect else NOT_YET)


async def ask_for_many(context: Context, request: Request) -> Response:
    """The question whether to resolve these."""
    return await _asked_for_many(context, request, request.query_params.getlist("entry"))


async def resolve_many(context: Context, request: Request) -> Response:
    """Resolve them, each as it was seen, and go back to the exceptions."""
    ids: list[str] = request.state.form.get("entry", [])
    seen: list[str] = request.state.form.get("seen", [])
    reason = field(request, "reason")
    if not reason.strip():
        return await _asked_for_many(context, request, ids, problem="Reason: write a few words.", status=400)
    each_once = [*dict(zip(ids, seen, strict=False)).items()][:PAGE_SIZE]
    outcomes = await asyncio.gather(*(_resolve(context, request, id_, saw, reason) for id_, saw in each_once))
    return said_on_next_page(request, "/exceptions", _sum_up(outcomes))


async def _resolve(context: Context, request: Request, entry_id: str, seen: str, reason: str) -> Decided | str:
    """The decision, or why there was none."""
    intent = Intent(entry_id, "resolve", request.state.session.person.name, context.clock(), reason, seen=seen)
    try:
        return await decide(context.database, context.journal, intent)
    except (NoSuchEntry, Invalid, Conflict) as refusal:
        return f"{entry_id[:8]}: {refusal}"
    except StorageUnavailable:
        # The others may have been decided, and it has to be said which.
        return f"{entry_id[:8]}: the database cannot be used now"


def _sum_up(outcomes: Sequence[Decided | str]) -> str:
    done = [outcome for outcome in outcomes if isinstance(outcome, Decided)]
    said = [f"Resolved {plural(len(done), 'entry', 'entries')}."]
    if waiting := sum(not outcome.in_effect for outcome in done):
        said.append(f"{waiting} of them as soon as the sync process has seen it.")
    if refused := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        more = f", and {len(refused) - 3} more" if len(refused) > 3 else ""
        said.append(f"Not resolved: {'; '.join(refused[:3])}{more}.")
    return " ".join(said)


async def _asked(context: Context, request: Request, entry: Entry, *, problem: str = "", status: int = 200) -> Response:
    action = _action(request)
    given = request.state.form if request.method == "POST" else dict(request.query_params.multi_items())
    async with context.database.read() as conn:
        [entry] = await with_suggestions(conn, [entry])
    return page(
        context,
        request,
        "action.html",
        status=status,
        action=action,
        ask=ASKS[action],
        entry=entry,
        stores=sorted(context.policy.stores),
        snoozes=SNOOZES,
        problem=problem,
        given={name: value if isinstance(value, str) else value[0] for name, value in given.items()},
    )


async def _asked_for_many(
    context: Context, request: Request, ids: list[str], *, problem: str = "", status: int = 200
) -> Response:
    found = list((await _entries(context, ids)).values())
    return page(context, request, "resolve.html", status=status, found=found, problem=problem, ask=ASKS["resolve"])


async def _entry(context: Context, entry_id: str) -> Entry:
    async with context.database.read() as conn:
        entry = await find_entry(conn, entry_id) if re.fullmatch("[0-9a-f]{32}", entry_id) else None
    if entry is None:
        raise no_such_entry()
    return entry


async def _entries(context: Context, ids: list[str]) -> dict[str, Entry]:
    """Those that there are, and no more than a page has."""
    wanted = [id_ for id_ in ids[:PAGE_SIZE] if re.fullmatch("[0-9a-f]{32}", id_)]
    async with context.database.read() as conn:
        return await entries_by_id(conn, wanted)


def _action(request: Request) -> Action:
    action = request.path_params["action"]
    if action not in ASKS:
        raise HTTPException(404)
    return action  # type: ignore[no-any-return]


def _details(action: Action, request: Request, now: Instant) -> dict[str, Any]:
    match action:
        case "resolve" | "note" | "assign":
            return {"text": field(request, "text")}
        case "link":
            return {"store": field(request, "store"), "order_id": field(request, "order").strip()}
        case "snooze":
            days = field(request, "days")
            if days and days not in SNOOZES:
                raise Invalid(f"days: has to be one of {', '.join(SNOOZES)}, or empty to end the snooze")
            return {"until": now + int(days) * DAY if days else None}
        case "reopen" | "unlink":
            return {}


def _sentence(refusal: Exception) -> str:
    text = str(refusal)
    return f"{text[:1].upper()}{text[1:]}."
