"""Authorize.net's API: JSON in the order of the published AnetApiSchema.xsd, by which even JSON is validated.

Answers begin with a byte order mark, and errors are HTTP 200 with `resultCode: Error`. Lists are paged by page number,
from 1, at most 1,000 rows a page; batches are listed by at most 31 days of settlement, about two years back.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from sources.authorizenet_transactions import (
    DETAILED_ROWS,
    ID,
    REFUND_ROWS,
    SETTLED_PAYMENT,
    Reading,
    details,
    details_message,
    details_set_aside,
    id_of,
    is_row,
    listed_of,
    row_message,
    row_set_aside,
    status_of,
)
from sources.base import NotUnderstood
from sources.http_client import HttpClient
from sources.parsing import JsonObject, array_items, as_object, clean, identifier, json_object
from sources.polling import Answer, ApiFailed, Feed, Fetched, GatewayPoller, Listed, thinning_out

if TYPE_CHECKING:
    from sources.authorizenet import AuthorizeNetSettings

PAGE = 1000
PAGES_MAX = 1000
WINDOW = 30 * DAY
ASK_FOR = 120 * DAY
"""So long after its refund a payment may still be charged back."""
SETTLES_WITHIN = 7 * DAY
TOLD_MAX = 200_000

_FINAL = frozenset(
    {
        "refundSettledSuccessfully",
        "voided",
        "declined",
        "generalError",
        "communicationError",
        "settlementError",
        "failedReview",
        "expired",
    }
)
_SETTLED = frozenset({SETTLED_PAYMENT, "chargeback", "chargebackReversal", "returnedItem"})
_NOT_FOUND = "E00040"
_MENDS = {
    "E00003": "the request does not fit the schema",
    "E00005": "transaction_key is not valid",
    "E00006": "api_login_id is not valid",
    "E00007": "api_login_id and transaction_key do not fit",
    "E00008": "the account is not active",
    "E00010": "the user of these keys may not read transactions",
    "E00011": "enable Account > Settings > Transaction Details API in the merchant interface",
}
"""Errors that last until somebody mends the configuration."""


class AuthorizeNetPoller(GatewayPoller):
    """The reporting API of one account, and the list of its webhooks."""

    def __init__(
        self, name: str, settings: "AuthorizeNetSettings", used_events: Sequence[str], clock: Callable[[], Instant]
    ) -> None:
        assert settings.api_login_id
        assert settings.transaction_key
        self._name = name
        self._currency = settings.currency
        self._used_events = used_events
        self._clock = clock
        self._login = settings.api_login_id.get_secret_value()
        self._key = settings.transaction_key.get_secret_value()
        super().__init__(HttpClient(settings.api_base, settings.requests_per_second, clock))
        self._told: dict[str, str] = {}
        """The state of each transaction that the lists have told."""

    def feeds(self) -> Sequence[Feed]:
        """What is not settled yet, which is one list whatever the time, and what settled."""
        return (
            Feed("unsettled", self._unsettled, window=36_500 * DAY),
            Feed("settled", self._settled, window=WINDOW, overlap=2 * DAY, horizon=730 * DAY),
        )

    async def ask(self, about: str, age: Instant) -> Answer:
        """The details of one transaction, as "refund:1" or "payment:1"."""
        fetched, transaction = await self._details(about.partition(":")[2])
        if transaction is None:
            return Answer(fetched, thinning_out(age, DAY))  # it may not be there at once
        status = status_of(transaction)
        pause = None if status in _FINAL else thinning_out(age, ASK_FOR)
        if pause is not None and status in _SETTLED:
            pause = max(pause, DAY)  # only a bank changes it now
        return Answer(fetched, pause)

    async def listed(self, since: Instant, until: Instant) -> AsyncIterator[list[Listed]]:
        """Refunds, voids and chargebacks. What settles meanwhile is listed twice, the later state last."""
        async for as_of, rows in self._pages("getUnsettledTransactionListRequest", {}):
            yield await self._compared(as_of, rows, since)
        end = min(until + SETTLES_WITHIN, self._clock())
        for start in range(since, end, WINDOW):
            async for as_of, rows in self._settled_rows(start, min(start + WINDOW, end)):
                compared = await self._compared(as_of, rows, since)
                # When a payment was charged back is not told: it reads as now.
                yield [one for one in compared if one.at < until or one.kind == "chargeback"]

    async def faults(self) -> list[str]:
        """What is wrong with the webhook whose address ends in the name of this source."""
        basic = base64.b64encode(f"{self._login}:{self._key}".encode()).decode()
        reply = await self._http.call("GET", "/rest/v1/webhooks", {"authorization": f"Basic {basic}"})
        if reply.status != 200:
            raise ApiFailed(f"the list of webhooks: HTTP {reply.status}")
        try:
            webhooks = [as_object(value, "a webhook") for _, value in array_items(reply.body)]
        except NotUnderstood as error:
            raise ApiFailed(f"the list of webhooks: {error}") from None
        path = f"/webhooks/{self._name}"
        ours = [self._faults_of(w) for w in webhooks if (clean(w.get("url")) or "").rstrip("/").endswith(path)]
        return min(ours, key=len, default=[f"no webhook of the account has an address that ends in {path}: add one"])

    def _faults_of(self, webhook: JsonObject) -> list[str]:
        faults = []
        if webhook.get("status") != "active":
            faults.append("the webhook is not active, so nothing is sent: activate it")
        told = webhook.get("eventTypes")
        types = {t.casefold() for t in told if isinstance(t, str)} if isinstance(told, list) else set()
        if missing := [t for t in self._used_events if t.casefold() not in types]:
            faults.append(f"the webhook is not subscribed to {', '.join(missing)}")
        return faults

    # Lists -----------------------------------------------------------------------------------------------------------

    async def _unsettled(self, _since: Instant, _until: Instant) -> AsyncIterator[Fetched]:
        async for as_of, rows in self._pages("getUnsettledTransactionListRequest", {}):
            async for fetched in self._news(as_of, rows):
                yield fetched

    async def _settled(self, since: Instant, until: Instant) -> AsyncIterator[Fetched]:
        async for as_of, rows in self._settled_rows(since, until):
            async for fetched in self._news(as_of, rows):
                yield fetched

    async def _news(self, as_of: Instant, listed: list[Any]) -> AsyncIterator[Fetched]:
        """What the rows tell that they did not tell before. Who comes back for more has stored what he got.

        One row never stops the others: where it or its details cannot be read, it is set aside.
        """
        if len(self._told) > TOLD_MAX:
            self._told.clear()
        if strange := [row for row in listed if not is_row(row)]:
            yield Fetched(as_of, [row_set_aside(row) for row in strange])
        rows: list[JsonObject] = [row for row in listed if is_row(row)]
        fresh = [row for row in rows if self._told.get(id_of(row)) != _state(row)]
        payments = [row for row in fresh if _state(row) == SETTLED_PAYMENT]
        if payments:
            yield Fetched(as_of, [row_message(row) for row in payments])
            self._told |= {id_of(row): _state(row) for row in payments}
        for row in filter(_needs_details, fresh):
            fetched, _ = await self._details(id_of(row))
            if fetched.messages:
                yield fetched
                self._told[id_of(row)] = _state(row)

    async def _compared(self, as_of: Instant, rows: list[Any], since: Instant) -> list[Listed]:
        compared = []
        if not all(map(is_row, rows)):
            raise ApiFailed("a listed transaction: it has no id or no status")
        for row in filter(_needs_details, rows):
            try:
                if status_of(row) in REFUND_ROWS:
                    facts = [Reading(self._name, self._currency, as_of).row(row)]
                else:
                    fetched, _ = await self._details(id_of(row))
                    reading = Reading(self._name, self._currency, fetched.as_of)
                    facts = [fact for told in fetched.messages for fact in reading.details(details(told.body))]
            except (NotUnderstood, ValueError) as error:
                raise ApiFailed(f"a listed transaction: {error}") from None
            one = listed_of(facts)
            if one and one.at >= since:
                compared.append(one)
        return compared

    async def _settled_rows(self, since: Instant, until: Instant) -> AsyncIterator[tuple[Instant, list[Any]]]:
        """Pages of every batch that settled then. A batch without an id stands among them as a row that is none."""
        first, last = since // SECOND * SECOND, -(-until // SECOND) * SECOND
        dates = {"firstSettlementDate": to_rfc3339(first), "lastSettlementDate": to_rfc3339(last)}
        as_of, _, answer = await self._request("getSettledBatchListRequest", dates)
        for batch in _rows(answer, "batchList"):
            try:
                batch_id = identifier(as_object(batch, "a batch").get("batchId"), "batchId")
            except NotUnderstood:
                yield as_of, [batch]
                continue
            async for page in self._pages("getTransactionListRequest", {"batchId": batch_id}):
                yield page

    async def _pages(self, request: str, what: dict[str, str]) -> AsyncIterator[tuple[Instant, list[Any]]]:
        sorting = {"orderBy": "id", "orderDescending": False}
        for page in range(1, PAGES_MAX + 1):
            paging = {"limit": PAGE, "offset": page}
            as_of, _, answer = await self._request(request, {**what, "sorting": sorting, "paging": paging})
            rows = _rows(answer, "transactions")
            yield as_of, rows
            if len(rows) < PAGE:
                return
        raise ApiFailed(f"a list has no end after {PAGES_MAX} pages")

    # Requests --------------------------------------------------------------------------------------------------------

    async def _details(self, trans_id: str) -> tuple[Fetched, JsonObject | None]:
        """The details of a transaction: nothing where it is not found, set aside where they cannot be read."""
        if not ID.fullmatch(trans_id):
            return Fetched(self._clock(), []), None
        as_of, body, answer = await self._request("getTransactionDetailsRequest", {"transId": trans_id})
        if answer is None:
            return Fetched(as_of, []), None
        try:
            transaction = as_object(answer.get("transaction"), "transaction")
            return Fetched(as_of, [details_message(body, transaction)]), transaction
        except NotUnderstood:
            return Fetched(as_of, [details_set_aside(body)]), None

    async def _request(self, name: str, what: dict[str, Any]) -> tuple[Instant, bytes, JsonObject | None]:
        """When it was asked, the answer without its byte order mark, and what is in it; None where it is not found."""
        # The order of the keys is the schema's, and the keys of the account come first.
        credentials = {"merchantAuthentication": {"name": self._login, "transactionKey": self._key}}
        content = json.dumps({name: {**credentials, **what}}).encode()
        headers = {"content-type": "application/json"}
        reply = await self._http.call("POST", "/xml/v1/request.api", headers, content)
        if reply.status != 200:
            raise ApiFailed(f"{name}: HTTP {reply.status}")
        body = reply.utf8.removeprefix(b"\xef\xbb\xbf")
        try:
            answer = json_object(body)
            messages = as_object(answer.get("messages"), "messages")
        except NotUnderstood as error:
            raise ApiFailed(f"{name}: {error}") from None
        if messages.get("resultCode") == "Ok":
            return reply.as_of, body, answer
        code = _code(messages)
        if code == _NOT_FOUND:
            return reply.as_of, body, None
        mend = _MENDS.get(code)
        raise ApiFailed(f"{name}: {code}" + (f", {mend}" if mend else ""), permanent=mend is not None)


def _code(messages: JsonObject) -> str:
    """The code of an error. Its text is left out: it may quote what was sent."""
    told = messages.get("message")
    first = told[0] if isinstance(told, list) and told else told
    code = clean(first.get("code")) if isinstance(first, dict) else None
    return code if code and re.fullmatch(r"[A-Z][0-9]{5}", code, re.ASCII) else "an error without a code"


def _rows(answer: JsonObject | None, name: str) -> list[Any]:
    """The rows of a list, whatever they are. One that is empty is absent."""
    told = (None if answer is None else answer.get(name)) or []
    if not isinstance(told, list):
        raise ApiFailed(f"{name} is not a list")
    return told


def _state(row: JsonObject) -> str:
    returned = row.get("hasReturnedItems") is True
    return f"{status_of(row)}, returned" if returned else status_of(row)


def _needs_details(row: JsonObject) -> bool:
    return status_of(row) in DETAILED_ROWS or row.get("hasReturnedItems") is True
