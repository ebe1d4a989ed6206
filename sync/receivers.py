"""The loops that tell other systems of new, changed and cleared exceptions. Each receiver has its own.

At least once: a message keeps its id however often it is sent, so that a receiver can tell the second one.
"""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter
from standardwebhooks import Webhook

from config.notices import Receiver
from ledger.instants import DAY, SECOND, Instant
from sources.http_client import HttpClient
from sources.polling import ApiFailed
from storage.database import Database
from storage.notices import (
    OutgoingNotice,
    delete_outgoing_notices,
    due_outgoing_notices,
    put_off_outgoing_notice,
)
from sync.supervise import Stop

LOOK_SECONDS = 2.0
BATCH = 50
PER_SECOND_MAX = 20.0
GIVE_UP_AFTER = 3 * DAY

PAUSES = tuple(seconds * SECOND for seconds in (5, 30, 120, 600, 1800, 3600, 3 * 3600))
"""Before a message is tried again, longer each time."""

BACK_OFF_SECONDS = (5.0, 30.0, 60.0, 300.0)
"""Before anything is sent to a receiver that did not take the last message."""

DIGEST_MAX = 2_000
"""Exceptions that one message to a chat can speak of."""

LISTED_MAX = 10
"""How many of them it names."""

DIGEST_SECONDS, FLOOD_SECONDS = 30.0, 600.0
"""Between two messages to a chat; and after one that could not name all."""

log = logging.getLogger(__name__)


class Outgoing:
    """Tells one receiver what is due, for as long as this process leads."""

    def __init__(
        self, db: Database, name: str, receiver: Receiver, counted: Counter, clock: Callable[[], Instant]
    ) -> None:
        """`counted` has the labels receiver and outcome."""
        self._db = db
        self._name = name
        self._receiver = receiver
        self._counted = {outcome: counted.labels(name, outcome) for outcome in ("sent", "put_off", "given_up")}
        self._clock = clock
        self._failures = 0

    async def run(self, stop: Stop) -> None:
        """Send until `stop`."""
        self._client = HttpClient(self._receiver.url.get_secret_value(), PER_SECOND_MAX, self._clock)
        try:
            while not stop.is_set():
                pause = LOOK_SECONDS
                if await self._db.try_lead():
                    pause = await self.step(stop)
                await stop.sleep(pause)
        finally:
            await self._client.close()

    async def step(self, stop: Stop) -> float:
        """Send what is due now, one after the other until `stop`; seconds until the next look.

        Raises StorageUnavailable.
        """
        limit = DIGEST_MAX if self._receiver.kind == "slack" else BATCH
        async with self._db.read() as conn:
            due = await due_outgoing_notices(conn, self._name, self._clock(), limit)
        oldest = self._clock() - GIVE_UP_AFTER
        if late := [notice for notice in due if notice.made_at < oldest]:
            await self._done(late, "given_up")
            log.warning("a receiver was not told", extra={"receiver": self._name, "messages": len(late)})
        fresh = [notice for notice in due if notice.made_at >= oldest]
        try:
            pause = await (self._digest(fresh) if self._receiver.kind == "slack" else self._each(fresh, stop))
        except ApiFailed as failure:
            return self._failed(failure)
        self._failures = 0
        return pause

    async def _each(self, due: Sequence[OutgoingNotice], stop: Stop) -> float:
        """One signed message for each; the first that is not taken ends the round, and is put off behind the others."""
        for notice in due:
            if stop.is_set():
                break
            try:
                await self._post([notice], self._signed(notice), notice.body)
            except ApiFailed:
                due_at = self._clock() + PAUSES[min(notice.attempts, len(PAUSES) - 1)]
                async with self._db.write() as conn:
                    await put_off_outgoing_notice(conn, notice, due_at)
                raise
        return 0.0 if len(due) == BATCH else LOOK_SECONDS

    async def _digest(self, due: Sequence[OutgoingNotice]) -> float:
        """One message that sums up all of them; none where nothing is left of what happened.

        They stay due where it is not taken: what comes meanwhile must not be told before them.
        """
        events = latest([json.loads(notice.body) for notice in due])
        if not events:
            await self._done(due, "sent")
            return LOOK_SECONDS
        body = json.dumps({"text": digest(events)})
        await self._post(due, {"content-type": "application/json"}, body)
        return FLOOD_SECONDS if len(events) > LISTED_MAX else DIGEST_SECONDS

    async def _post(self, notices: Sequence[OutgoingNotice], headers: dict[str, str], body: str) -> None:
        """Raises ApiFailed where they were not taken."""
        try:
            await self._call(headers, body)
        except ApiFailed:
            self._counted["put_off"].inc(len(notices))
            raise
        await self._done(notices, "sent")

    async def _call(self, headers: dict[str, str], body: str) -> None:
        reply = await self._client.call("POST", "", headers, body.encode())
        if not 200 <= reply.status < 300:
            raise ApiFailed(f"HTTP {reply.status}")

    async def _done(self, notices: Sequence[OutgoingNotice], outcome: str) -> None:
        if notices:
            async with self._db.write() as conn:
                await delete_outgoing_notices(conn, [notice.id for notice in notices])
            self._counted[outcome].inc(len(notices))

    def _failed(self, failure: ApiFailed) -> float:
        """Seconds to wait: what the receiver asked for, else longer each time."""
        pause = BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        pause = max(pause, failure.retry_after_seconds or 0.0)
        log.warning("a receiver took no message: %s", failure, extra={"receiver": self._name, "pause_seconds": pause})
        return pause

    def _signed(self, notice: OutgoingNotice) -> dict[str, str]:
        """The headers of Standard Webhooks (standardwebhooks.com), with the time of this attempt."""
        assert self._receiver.secret
        at = datetime.fromtimestamp(self._clock() // SECOND, UTC)
        return {
            "content-type": "application/json",
            "webhook-id": notice.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self._receiver.secret.get_secret_value()).sign(
                notice.message_id, at, notice.body
            ),
        }


def latest(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last event of each entry, as new, changed or cleared since before the first of them.

    An event whose entry goes on under another id belongs to that one. What was no exception before and is none now is
    left out.
    """
    last: dict[str, tuple[bool, dict[str, Any]]] = {}
    for event in events:
        id_ = event["data"]["entry"]["id"]
        former = {id_: False} | {one["id"]: one["status"] == "unmatched" for one in event["data"]["former"]}
        open_before = [last.pop(i)[0] if i in last else was for i, was in former.items()]
        last[id_] = any(open_before), event
    return [event | {"type": f"exception.{what}"} for was, event in last.values() if (what := _net(was, event))]


def _net(open_before: bool, event: dict[str, Any]) -> str:  # noqa: FBT001 - the half of what it compares
    if event["type"] == "exception.cleared":
        return "cleared" if open_before else ""
    return "changed" if open_before else "opened"


def digest(events: Sequence[dict[str, Any]]) -> str:
    """The events in words, for a chat: how many, and the first of them by name."""
    kinds = [event["type"].removeprefix("exception.") for event in events]
    counts = ", ".join(f"{kinds.count(k)} {name}" for k, name in _NAMES.items() if k in kinds)
    lines = [_line(kind, event["data"]["entry"]) for kind, event in zip(kinds, events, strict=True)]
    more = [f"… and {len(lines) - LISTED_MAX} more"] if len(lines) > LISTED_MAX else []
    return "\n".join([f"Refund Ledger, exceptions: {counts}", *lines[:LISTED_MAX], *more])


_NAMES = {"opened": "new", "changed": "changed", "cleared": "cleared"}


def _line(kind: str, entry: dict[str, Any]) -> str:
    reason = entry["reason"] or entry["status"]
    return f"• {_NAMES[kind]}: {reason}. {_escaped(entry['explanation'][:500])}"


def _escaped(text: str) -> str:
    """Without what a chat reads as its own, or an order's name could call a whole channel.

    Slack's are three characters; others take an @ from anybody, and no longer with a blank of no width behind it.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")
