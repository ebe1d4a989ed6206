"""Opayo's Reporting and Admin API: a form with a command in XML, and an answer in XML.

A command is signed by the MD5 of its elements with the user's password behind them; the password itself is never sent.
Commands, elements and the signature are those of published plug-ins (Ebizmarts' for Magento, and others).
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from config.values import time_zone
from ledger.instants import DAY, SECOND, Instant
from sources.base import Message, NotUnderstood
from sources.http_client import HttpClient
from sources.opayo import ID, PAYMENTS, STATE, id_of, type_of
from sources.parsing import JsonObject, as_object, body_key, canonical, clean, content_hash
from sources.polling import (
    HOUR,
    Answer,
    ApiFailed,
    Feed,
    Fetched,
    GatewayPoller,
    Listed,
    facts_in,
    listed_in,
    questions_in,
    thinning_out,
)
from sources.xml_parsing import xml_items, xml_object

if TYPE_CHECKING:
    from sources.opayo import Opayo

PAGE = 50
PAGES_MAX = 2000
WINDOW = 7 * DAY
FAILS_WITHIN = 5 * DAY
"""So long after a refund was authorised its settlement with the bank may still fail."""
VOIDABLE = 36 * HOUR
"""After this no payment can be voided any longer: it is settled in the night that follows it."""
KNOWN_MAX = 50_000

_DONE, _NOT_FOUND = "0000", "0043"
_KEPT = ("vpstxid", "vendortxcode", "transactiontype", "txstateid", "amount", "currency", "started", "completed")
"""What is kept of a transaction: nothing about the customer."""


class OpayoPoller(GatewayPoller):
    """The API of one vendor."""

    def __init__(self, source: "Opayo", clock: Callable[[], Instant]) -> None:
        settings = source.settings
        self._source = source
        self._clock = clock
        self._zone = time_zone(settings.timezone)
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        self._known: set[str] = set()
        """The transactions that were looked at: they stand in the lists again and again."""

    def feeds(self) -> Sequence[Feed]:
        """Refunds by when they were made; and payments once they can no longer be voided."""
        refunds = Feed("refunds", self._refunds, window=WINDOW, overlap=DAY, lag=60 * SECOND)
        payments = Feed("payments", self._payments, window=WINDOW, overlap=6 * HOUR, lag=VOIDABLE)
        return (refunds, payments) if self._source.settings.find_voids else (refunds,)

    async def ask(self, about: str, age: Instant) -> Answer:
        """The state of one transaction, as "refund:5C2D9E9B-…" or "payment:…"."""
        kind, _, own = about.partition(":")
        if not ID.fullmatch(own):
            return Answer(Fetched(self._clock(), []), None)
        as_of, state = await self._state(own, is_refund=kind == "refund")
        if state is None:
            return Answer(Fetched(as_of, []), thinning_out(age, DAY))  # it may not be there at once
        pause = DAY if kind == "refund" and self._may_fail(state, as_of) and age < FAILS_WITHIN else None
        return Answer(Fetched(as_of, [state]), pause)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds, and where they are looked for voids, as the ledger reads them."""
        settings = self._source.settings
        assert settings.poll_interval  # its settings allow nothing else
        # The ledger looks at a payment when it can no longer be voided, with the poll that comes then.
        looked_at = self._clock() - VOIDABLE - settings.poll_interval // timedelta(microseconds=1)
        payments = (PAYMENTS, min(until, looked_at))
        for kinds, end in (("REFUND",), until), *((payments,) if settings.find_voids else ()):
            for start in range(since, end, WINDOW):
                async for fetched in self._fetch(kinds, start, min(start + WINDOW, end), set()):
                    yield listed_in(facts_in(self._source, fetched), since, until)

    async def faults(self) -> list[str]:
        """What Opayo has against our commands: no webhook is used."""
        told = (await self._command("version", {}))[1]
        code = _code(told)
        mend = "check vendor, user and password, and that MyOpayo allows this machine's IP address"
        return [] if code == _DONE else [f"Opayo answers error {code}: {mend}"]

    # Lists -----------------------------------------------------------------------------------------------------------

    def _refunds(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        return self._fetch(("REFUND",), since, until, self._known)

    def _payments(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        return self._fetch(PAYMENTS, since, until, self._known)

    async def _fetch(
        self, kinds: Sequence[str], since: Instant, until: Instant, known: set[str]
    ) -> AsyncIterator[Fetched]:
        """The state of every transaction of these types, page by page, but for what is known.

        One row never stops the others: one that cannot be read is set aside.
        """
        if len(known) > KNOWN_MAX:
            known.clear()
        types = "".join(f"<txtype>{kind}</txtype>" for kind in kinds)
        asked = {"startdate": self._local(since), "enddate": self._local(until), "txtypes": types}
        asked |= {"sorttype": "ByDate", "sortorder": "ASC"}
        for first in range(1, PAGES_MAX * PAGE, PAGE):
            as_of, told = await self._command(
                "getTransactionList", asked | {"startrow": str(first), "endrow": str(first + PAGE - 1)}
            )
            rows, total = _list(_done(told))
            wanted = [(_id(row), row) for row in rows if not isinstance(row, dict) or type_of(row) in kinds]
            new = {own: type_of(as_object(row, "a row")) for own, row in wanted if own and own not in known}
            told_of = {own: (await self._state(own, is_refund=kind == "REFUND"))[1] for own, kind in new.items()}
            states = {own: state for own, state in told_of.items() if state}
            aside = [_set_aside(row) for own, row in wanted if not own]
            yield Fetched(as_of, [*states.values(), *aside])
            known.update(states)
            if len(rows) < PAGE if total is None else not rows or first + PAGE > total:
                return
        raise ApiFailed(f"the list of transactions has no end after {PAGES_MAX} pages")

    async def _state(self, own: str, *, is_refund: bool) -> tuple[Instant, Message | None]:
        """One transaction with, of a refund, what it is related to; None where it is not there."""
        as_of, told = await self._command("getTransactionDetail", {"vpstxid": own})
        if _code(told) == _NOT_FOUND:
            return as_of, None
        transaction = _done(told)
        related: list[object] = []
        if is_refund:
            answer = (await self._command("getRelatedTransactions", {"vpstxid": own}))[1]
            # Where it is refused, or of another form, the refund is still worth telling; it is asked again on each of
            # the next days.
            with suppress(ApiFailed):
                related = _list(_done(answer))[0]
        body = canonical({"transaction": _only(transaction), "related": [_only(one) for one in related]})
        return as_of, Message(f"{own}:{content_hash(body)[:16]}", STATE, body)

    # Requests --------------------------------------------------------------------------------------------------------

    async def _command(self, command: str, parameters: dict[str, str]) -> tuple[Instant, JsonObject]:
        """The answer to a command, and when it was asked; also where it is an error of Opayo's."""
        settings = self._source.settings
        elements = {"command": command, "vendor": settings.vendor, "user": settings.user, **parameters}
        content = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
        signed = f"{content}<password>{settings.password.get_secret_value()}</password>"
        signature = hashlib.md5(signed.encode()).hexdigest()  # noqa: S324 - theirs
        xml = f"<vspaccess>{content}<signature>{signature}</signature></vspaccess>"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = await self._http.call("POST", "/access/access.htm", headers, urlencode({"XML": xml}).encode())
        if reply.status != 200:
            raise ApiFailed(f"{command}: HTTP {reply.status}")
        try:
            return reply.as_of, as_object(xml_object(reply.body).get("vspaccess"), "vspaccess")
        except NotUnderstood as error:
            raise ApiFailed(f"{command}: {error}") from None

    def _local(self, at: Instant) -> str:
        """A moment as Opayo writes it."""
        return datetime.fromtimestamp(at // SECOND, UTC).astimezone(self._zone).strftime("%d/%m/%Y %H:%M:%S")

    def _may_fail(self, state: Message, as_of: Instant) -> bool:
        return any(about.startswith("refund:") for about in questions_in(self._source, state, as_of))


def _code(told: JsonObject) -> str:
    """The errorcode; four digits, or what stands for anything else."""
    code = clean(told.get("errorcode")) or ""
    return code if code.isascii() and code.isdigit() and len(code) <= 8 else "without a code"


def _done(told: JsonObject) -> JsonObject:
    if (code := _code(told)) != _DONE:
        raise ApiFailed(f"Opayo answers error {code}")
    return told


def _list(told: JsonObject) -> tuple[list[object], int | None]:
    """The rows in an answer, whatever they are, and how many there are in all, where that is told."""
    transactions: Any = told.get("transactions") or {}
    if not isinstance(transactions, dict):
        raise ApiFailed("a list: its transactions are none")
    rows, total = xml_items(transactions.get("transaction")), clean(transactions.get("totalrows"))
    count = int(total) if total and total.isascii() and total.isdigit() and len(total) < 10 else None
    return rows, count


def _id(row: object) -> str:
    """The id of a row; empty where it has none."""
    try:
        return id_of(as_object(row, "a row"))
    except NotUnderstood:
        return ""


def _set_aside(row: object) -> Message:
    body = canonical({"transaction": _only(row), "related": []})
    return Message(body_key(body), STATE, body, "malformed")


def _only(transaction: object) -> JsonObject:
    told = transaction if isinstance(transaction, dict) else {}
    return {name: told[name] for name in _KEPT if name in told}
