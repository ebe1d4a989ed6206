"""The audit trail: who decided what, when."""

import re

from starlette.requests import Request
from starlette.responses import Response

from console.actions import ASKS
from console.context import Context
from console.entries import decision_json
from console.pages import page
from console.problems import refuse
from storage.facts import newest_decisions

PAGE_SIZE = 50


async def show_audit(context: Context, request: Request) -> Response:
    """A page of decisions, newest first."""
    action = request.query_params.get("action", "")
    if action and action not in ASKS:
        refuse("action", f"has to be one of {', '.join(ASKS)}")
    before = request.query_params.get("before", "")
    if before and not re.fullmatch("[0-9]{1,18}", before):
        refuse("before", "is not one that a page gave")
    async with context.database.read() as conn:
        found = await newest_decisions(
            conn, PAGE_SIZE + 1, before=int(before) if before else None, action=action or None
        )
    return page(
        context,
        request,
        "audit.html",
        found=[(decision, decision_json(decision), in_ledger) for _, decision, in_ledger in found[:PAGE_SIZE]],
        action=action,
        actions=list(ASKS),
        is_first=not before,
        older=found[PAGE_SIZE - 1][0] if len(found) > PAGE_SIZE else None,
    )
