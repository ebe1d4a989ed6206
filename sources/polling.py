"""What a source that can be asked is: its lists, its single questions, and how politely it may be asked.

A poll fetches; it decides nothing. What it fetched goes into the journal like a webhook, and `interpret` reads it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.facts import Fact
from ledger.instants import DAY, SECOND, Instant
from ledger.payments import fold_gateway
from sources.base import Event, Message, NotUnderstood, Source
from sources.parsing import body_key, canonical, content_hash, identifier

if TYPE_CHECKING:
    from sources.http_client import HttpClient

HOUR = 3600 * SECOND
CALL_SECONDS_MAX = 30.0
"""The time limit of one call."""


class ApiFailed(Exception):  # noqa: N818 - it happened, as its name says
    """A call that brought no answer to rely on. The text holds no secret and nothing personal."""

    def __init__(
        self,
        reason: str,
        *,
        retry_after_seconds: float | None = None,
        permanent: bool = False,
        alone: bool = False,
        unavailable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        """What the other side asked us to wait."""
        self.permanent = permanent
        """Asking again will not help until somebody mends the configuration: a wrong key, a missing right."""
        self.alone = alone
        """It may be this one request that cannot be answered, while others can."""
        self.unavailable = unavailable
        """The other side answers nobody just now, or asks us to wait: every other request can wait as well."""


class Fetched(NamedTuple):
    """What one call told, and the moment for which it speaks: when the request started."""

    as_of: Instant
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Feed:
    """A list that is walked through in windows of time."""

    name: str
    fetch: Callable[[Instant, Instant], AsyncIterator[Fetched]]
    """Everything from the first moment to before the second, page by page, to the end."""
    window: Instant
    """The longest stretch asked for at once. The checkpoint moves window by window, oldest first."""
    overlap: Instant = 0
    """How far behind the checkpoint each walk begins: what appears late is still found."""
    lag: Instant = 0
    """How close to now a walk ends: such a list is complete only after a while."""
    horizon: Instant | None = None
    """How far back the other system keeps it."""


class Answer(NamedTuple):
    """The answer to one question."""

    fetched: Fetched
    again_after: Instant | None
    """After how long to ask again; None: never."""


class Listed(NamedTuple):
    """A refund in the gateway's own list, for comparison with the ledger."""

    id: str
    kind: str
    status: str
    amount: int
    currency: str
    at: Instant


class Poller(ABC):
    """The API of a source. Made and used by one task; closed at the end."""

    def __init__(self, http: "HttpClient") -> None:
        self._http = http

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    @abstractmethod
    def feeds(self) -> Sequence[Feed]:
        """The lists that are walked through again and again."""

    @abstractmethod
    async def ask(self, about: str, age: Instant) -> Answer:
        """Ask about one thing, as "refund:re_1" or "order:1001"; `age` is since it was first asked about.

        Raises ApiFailed.
        """

    @abstractmethod
    async def faults(self) -> list[str]:
        """What is wrong with our webhook endpoint over there, a sentence each; empty where all is well.

        Raises ApiFailed.
        """


class GatewayPoller(Poller):
    """The API of a gateway."""

    @abstractmethod
    def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """The gateway's own list of what went back in a stretch of time, page by page. Raises ApiFailed."""


def state_message(state_type: str, own: object, body: bytes, content: object = None) -> Message:
    """The state of something with this id, as "api.refund"; its identity is that of its content, else of its body."""
    kind = state_type.removeprefix("api.")
    try:
        told = body if content is None else canonical(content)
        key = identifier(f"{kind}:{identifier(own, 'id')}:{content_hash(told)[:16]}", "key")
    except NotUnderstood:
        return Message(body_key(body), state_type, body, "malformed")
    return Message(key, state_type, body)


ABSENT = (400, 404, 410, 422)
"""How gateways answer about an id that is not there, or not ours."""


def event_of(source: Source[Any], state: Message, as_of: Instant) -> Event:
    """What was fetched, as it will be read from the journal."""
    return Event(0, source.name, "", state.type, state.body, as_of)


def questions_in(source: Source[Any], state: Message, as_of: Instant) -> list[str]:
    """What a state leaves open. Nothing where it is not understood: it is journalled, and set aside with its reason."""
    event = event_of(source, state, as_of)
    try:
        return source.questions(event, source.interpret(event))
    except NotUnderstood:
        return []


def facts_in(source: Source[Any], fetched: Fetched) -> list[Fact]:
    """What the source reads in what was fetched for comparison. Raises ApiFailed: without all of it there is none."""
    facts = []
    for state in fetched.messages:
        try:
            facts += source.interpret(event_of(source, state, fetched.as_of))
        except NotUnderstood as error:
            raise ApiFailed(f"a listed {state.type}: {error}") from None
    return facts


def listed_in(facts: Iterable[Fact], since: Instant, until: Instant) -> list[Listed]:
    """What went back in this stretch of time, as the ledger reads it."""
    refunds = (one.refund for one in fold_gateway(facts)[1])
    return [Listed(r.id, r.kind, r.status, r.amount, r.currency, r.at) for r in refunds if since <= r.at < until]


class Pace:
    """Spaces the calls to one API: at most so many a second, evenly, however many tasks ask."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0
        self.waited_seconds = 0.0

    async def wait(self) -> None:
        """Until it is our turn."""
        clock = asyncio.get_running_loop().time
        turn = max(clock(), self._next)
        self._next = turn + self._gap
        pause = turn - clock()
        self.waited_seconds += max(pause, 0.0)
        await asyncio.sleep(pause)


def thinning_out(age: Instant, until: Instant) -> Instant | None:
    """When to ask again about something of this age: hourly on the first day, then rarer; never from `until` on."""
    if age >= until:
        return None
    for limit, pause in ((DAY, HOUR), (7 * DAY, 6 * HOUR), (30 * DAY, DAY)):
        if age < limit:
            return pause
    return 7 * DAY
