"""The front page: the entries that need a person, worst first."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from console import parameters
from console.context import Context
from console.pages import page
from console.problems import refuse
from ledger.entries import OPEN, REASONS
from ledger.instants import Instant
from storage.dead_letters import count_backlog, count_dead_letters
from storage.exceptions import ORDERS, Chosen, sum_chosen, worst_first

PAGE_SIZE = 50
PAGE_MAX = 10_000
FILTERS = ("status", "reason", "source", "currency", "assigned", "snoozed", "since", "until", "order")


@dataclass(frozen=True)
class Behind:
    """What is not in the ledger yet."""

    backlog: int
    dead_letters: int


async def show_exceptions(context: Context, request: Request) -> Response:
    """A page of them. What is chosen stands in the address."""
    given = _given(request)
    chosen, order = _chosen(given), _order(given)
    number = _number(request)
    now = context.clock()
    async with context.database.read() as conn:
        sums = await sum_chosen(conn, chosen, now)
        found = await worst_first(conn, chosen, now, order, PAGE_SIZE, (number - 1) * PAGE_SIZE)
        asleep = 0 if chosen.snoozed else sum(s.count for s in await sum_chosen(conn, Chosen(snoozed=True), now))
        behind = Behind(await count_backlog(conn), await count_dead_letters(conn))
    count = sum(one.count for one in sums)
    return page(
        context,
        request,
        "exceptions.html",
        found=found,
        sums=sums,
        count=count,
        asleep=asleep,
        behind=behind,
        given=given,
        filtered=any(name in given for name in FILTERS if name != "order"),
        here=_here(given),
        number=number,
        pages=-(-count // PAGE_SIZE),
        all_ticked=request.query_params.get("tick") == "all",
        sources=[(name, name) for name in sorted(context.sources)],
    )


def _given(request: Request) -> dict[str, str]:
    """The filters. A link from a board may say the same twice, or nothing, or `.*` where it means any."""
    asked = {name: request.query_params.get(name, "") for name in FILTERS}
    return {name: value for name, value in asked.items() if value and value != ".*"}


def _chosen(given: Mapping[str, str]) -> Chosen:
    def of(name: str, values: tuple[str, ...], default: str = "") -> str:
        value = given.get(name, default)
        if value not in (*values, default):
            refuse(name, f"has to be one of {', '.join(values)}")
        return value

    def text(name: str, form: str) -> str:
        value = given.get(name, "")
        if value and not re.fullmatch(form, value):
            refuse(name, "is not of its form")
        return value

    return Chosen(
        status=of("status", OPEN, "unmatched"),
        reason=of("reason", REASONS),
        source=text("source", "[a-z0-9_]{1,64}"),
        currency=text("currency", "[A-Z]{3}"),
        assigned_to=text("assigned", ".{1,255}"),
        snoozed=of("snoozed", ("yes",)) == "yes",
        since=_time(given, "since"),
        until=_time(given, "until"),
    )


def _order(given: Mapping[str, str]) -> str:
    order = given.get("order", "worst")
    if order not in ORDERS:
        refuse("order", f"has to be one of {', '.join(ORDERS)}")
    return order


def _time(given: Mapping[str, str], name: str) -> Instant | None:
    return parameters.instant(name, given[name]) if name in given else None


def _number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or int(text) > PAGE_MAX:
        refuse("page", f"has to be a whole number from 1 to {PAGE_MAX}")
    return int(text)


def _here(given: Mapping[str, str]) -> str:
    """The address of this list, to which a page's number can be added."""
    return f"/exceptions?{urlencode(given)}&" if given else "/exceptions?"
