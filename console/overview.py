"""The state of the whole: how much is open, for how long, how fast the sides agree, how the sources are."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from console.charts import Bar, bar_chart
from console.context import Context
from console.exceptions import Behind
from console.pages import page
from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from storage.dead_letters import count_backlog, count_dead_letters
from storage.exceptions import Chosen, count_opened, newest_lags, sum_chosen
from storage.journal import last_events
from storage.polling import last_polls
from storage.queries import unconfigured_gateways

LAGS_MAX = 1_000
"""The lag chart is of so many matched entries, the newest."""

_HOUR = 3_600 * SECOND
_AGES = ((0, "under 1 d"), (DAY, "1 to 3 d"), (3 * DAY, "3 to 7 d"), (7 * DAY, "7 to 30 d"), (30 * DAY, "over 30 d"))
_LAGS = (
    (0, "to 1 h"),
    (_HOUR, "to 6 h"),
    (6 * _HOUR, "to 1 d"),
    (DAY, "to 3 d"),
    (3 * DAY, "to 7 d"),
    (7 * DAY, "longer"),
)


@dataclass(frozen=True)
class Health:
    """How a source is, as far as the ledger has heard of it."""

    name: str
    kind: str
    role: str
    last_event: Instant | None
    last_poll: Instant | None
    is_polled: bool


async def show_overview(context: Context, request: Request) -> Response:
    """The page."""
    now = context.clock()
    starts = [max(now - age, 0) for age, _ in _AGES]
    async with context.database.read() as conn:
        sums = await sum_chosen(conn, Chosen(), now)
        pending = sum(one.count for one in await sum_chosen(conn, Chosen("pending"), now))
        opened = await count_opened(conn, [0, *reversed(starts[1:])], now)
        lags = await newest_lags(conn, LAGS_MAX)
        heard, polled = await last_events(conn, context.sources), await last_polls(conn)
        behind = Behind(await count_backlog(conn), await count_dead_letters(conn))
        unconfigured = await unconfigured_gateways(conn)
    return page(
        context,
        request,
        "overview.html",
        sums=sums,
        pending=pending,
        ageing=bar_chart("Unmatched entries by age", _ageing(list(reversed(opened)), starts)),
        lag_count=len(lags),
        median=sorted(lags)[len(lags) // 2] if lags else None,
        lag=bar_chart("Matched entries by lag", _lag(lags)),
        sources=_sources(context, heard, polled),
        behind=behind,
        unconfigured=unconfigured,
    )


def _ageing(counts: Sequence[int], starts: Sequence[Instant]) -> list[Bar]:
    """A bar for each age, which leads to its entries."""
    bars = []
    for i, ((_, label), count) in enumerate(zip(_AGES, counts, strict=True)):
        span = {"since": starts[i + 1 : i + 2], "until": starts[i : i + 1] if i else []}
        told = urlencode({name: to_rfc3339(at) for name, found in span.items() for at in found})
        bars.append(Bar(label, count, f"/exceptions?{told}", is_late=i >= 3))
    return bars


def _lag(lags: Sequence[Instant]) -> list[Bar]:
    counts = [0] * len(_LAGS)
    for lag in lags:
        counts[bisect_right(_LAGS, lag, key=lambda step: step[0]) - 1] += 1
    return [Bar(label, count, is_late=i >= 4) for i, ((_, label), count) in enumerate(zip(_LAGS, counts, strict=True))]


def _sources(context: Context, heard: Mapping[str, Instant], polled: Mapping[str, Instant]) -> list[Health]:
    return [
        Health(name, source.kind, source.role, heard.get(name), polled.get(name), source.askable)
        for name, source in sorted(context.sources.items())
    ]
