"""One entry: both its sides, why it stands as it does, what can be done about it, and its whole history."""

from starlette.requests import Request
from starlette.responses import Response

from console.context import Context
from console.entries import history_json
from console.pages import page
from console.problems import no_such_entry
from ledger.facts import Action
from ledger.links import operator_links
from storage.decisions import load_decisions
from storage.entries import find_entry, load_history
from storage.suggestions import with_suggestions


async def show_entry_page(context: Context, request: Request) -> Response:
    """The page; a former id shows the current entry."""
    async with context.database.read() as conn:
        entry = await find_entry(conn, request.path_params["id"])
        if entry is None:
            raise no_such_entry()
        [entry] = await with_suggestions(conn, [entry])
        history = await load_history(conn, entry.id)
        decisions = await load_decisions(conn, entry)
    linked = set(operator_links(decisions)) & {f"{r.source}/{r.id}" for r in entry.gateway_refunds}
    by_id = {decision.id: decision for decision in decisions}
    open_ = entry.is_open
    possible: dict[Action, bool] = {
        "resolve": open_,
        "reopen": entry.status == "resolved",
        "link": open_ and bool(entry.gateway_refunds),
        "unlink": bool(linked),
        "snooze": open_,
        "assign": open_,
        "note": True,
    }
    return page(
        context,
        request,
        "entry.html",
        entry=entry,
        possible=[action for action, is_ in possible.items() if is_],
        history=[history_json(line, entry, by_id) for line in reversed(history)],
    )
