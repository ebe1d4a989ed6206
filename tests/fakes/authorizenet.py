"""Authorize.net: its transactions, batches, reporting API, webhooks and the list of them.

As the real one: a byte order mark before every answer, errors with HTTP 200, validation by the order of the schema,
pages counted from 1, no currency anywhere, rows without type and reference, a void under the id of what it voids.
"""

import hashlib
import hmac
import json
import re
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.instants import DAY, SECOND, Instant, from_rfc3339, to_rfc3339
from tests.fakes.faults import Faults, serving

LOGIN, KEY = "5KP3u95bQpv", "346HZ32z3fP4hTG2"
SIGNATURE_KEY = "0123456789ABCDEF" * 8

# The sequences of AnetApiSchema.xsd.
_SCHEMA: dict[str, tuple[str, ...]] = {
    "getTransactionDetailsRequest": ("merchantAuthentication", "refId", "transId"),
    "getUnsettledTransactionListRequest": ("merchantAuthentication", "refId", "status", "sorting", "paging"),
    "getTransactionListRequest": ("merchantAuthentication", "refId", "batchId", "sorting", "paging"),
    "getSettledBatchListRequest": (
        "merchantAuthentication",
        "refId",
        "includeStatistics",
        "firstSettlementDate",
        "lastSettlementDate",
    ),
    "merchantAuthentication": ("name", "transactionKey"),
    "sorting": ("orderBy", "orderDescending"),
    "paging": ("limit", "offset"),
}


@dataclass
class Transaction:
    """One of the account."""

    id: str
    type: str
    status: str
    amount: Decimal
    at: Instant
    invoice: str | None = None
    ref: str | None = None
    batch: str | None = None
    returned_at: Instant | None = None


@dataclass
class FakeAuthorizeNet:
    """One account. Time stands still until a test moves `now`."""

    now: Instant
    rows_max: int = 1000
    """Rows of a page, whatever more was asked for."""
    transactions: dict[str, Transaction] = field(default_factory=dict)
    batches: dict[str, Instant] = field(default_factory=dict)
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    """The endpoints of the account."""
    notifications: list[bytes] = field(default_factory=list)
    """What was sent to them, or should have been, oldest first."""
    details_enabled: bool = True
    unfit_for_settlement: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        routes = [
            Route("/xml/v1/request.api", self._request, methods=["POST"]),
            Route("/rest/v1/webhooks", self._webhooks, methods=["GET"]),
        ]
        self.faults = Faults(Starlette(routes=routes))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    # What people and shops do ----------------------------------------------------------------------------------------

    def sell(self, amount: str, invoice: str | None = None, *, capture: bool = True) -> str:
        """A payment, captured or authorised only; its id."""
        kind, status = (
            ("authCapture", "capturedPendingSettlement") if capture else ("authOnly", "authorizedPendingCapture")
        )
        sale = self._add(f"{kind}Transaction", status, amount, invoice)
        self._notify("authcapture" if capture else "authorization", sale)
        return sale.id

    def capture(self, trans_id: str) -> None:
        """An authorisation is captured; it keeps its id."""
        sale = self.transactions[trans_id]
        sale.type, sale.status = "priorAuthCaptureTransaction", "capturedPendingSettlement"
        self._notify("priorAuthCapture", sale)

    def refund(self, trans_id: str | None, amount: str, invoice: str | None = None) -> str:
        """A refund of a settled payment, or an unlinked credit; its id."""
        refund = self._add("refundTransaction", "refundPendingSettlement", amount, invoice, trans_id)
        self._notify("refund", refund)
        return refund.id

    def void(self, trans_id: str) -> None:
        """What has not settled is called back, under its own id."""
        self.transactions[trans_id].status = "voided"
        self._notify("void", self.transactions[trans_id])

    def settle(self) -> str:
        """Everything that waits settles now, in one batch; its id."""
        batch = str(10_000_000 + len(self.batches))
        self.batches[batch] = self.now
        settled = {
            "capturedPendingSettlement": "settledSuccessfully",
            "refundPendingSettlement": "refundSettledSuccessfully",
            "voided": "voided",
        }
        for one in self.transactions.values():
            if one.batch is None and one.status in settled:
                one.batch = batch
                one.status = "settlementError" if one.id in self.unfit_for_settlement else settled[one.status]
        return batch

    def charge_back(self, trans_id: str) -> None:
        """The customer's bank takes a payment back. No webhook tells."""
        self.transactions[trans_id].status = "chargeback"

    def give_back(self, trans_id: str) -> None:
        """The bank takes a chargeback back. No webhook tells."""
        self.transactions[trans_id].status = "chargebackReversal"

    def return_item(self, trans_id: str) -> None:
        """An electronic check comes back. No webhook tells."""
        self.transactions[trans_id].status, self.transactions[trans_id].returned_at = "returnedItem", self.now

    def _add(self, kind: str, status: str, amount: str, invoice: str | None, ref: str | None = None) -> Transaction:
        trans_id = str(60_020_981_680 + len(self.transactions))
        self.transactions[trans_id] = Transaction(trans_id, kind, status, Decimal(amount), self.now, invoice, ref)
        return self.transactions[trans_id]

    def _notify(self, what: str, transaction: Transaction) -> None:
        payload: dict[str, Any] = {"responseCode": 1, "authAmount": transaction.amount}
        if transaction.invoice:
            payload["invoiceNumber"] = transaction.invoice
        self.notifications.append(notification(what, payload | {"id": transaction.id}, self.now))

    # What is answered ------------------------------------------------------------------------------------------------

    async def _webhooks(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Basic " + b64encode(f"{LOGIN}:{KEY}".encode()).decode():
            return Response(status_code=401)
        return _reply(self.webhooks)

    async def _request(self, request: Request) -> Response:
        [(name, what)] = json.loads(await request.body()).items()
        if name not in _SCHEMA or not _in_order(name, what) or next(iter(what)) != "merchantAuthentication":
            return _error("E00003", f"The element '{name}' has invalid child element.")
        if what["merchantAuthentication"] != {"name": LOGIN, "transactionKey": KEY}:
            return _error("E00007", "User authentication failed due to invalid authentication values.")
        if not self.details_enabled:
            return _error("E00011", "Access denied. You do not have permissions to call the Transaction Details API.")
        if name == "getTransactionDetailsRequest":
            return self._details(what["transId"])
        if name == "getSettledBatchListRequest":
            return self._batch_list(from_rfc3339(what["firstSettlementDate"]), from_rfc3339(what["lastSettlementDate"]))
        rows = [t for t in self.transactions.values() if t.batch == what.get("batchId")]
        return self._rows(sorted(rows, key=lambda t: t.id), what["paging"])

    def _rows(self, found: list[Transaction], paging: dict[str, int]) -> Response:
        limit = min(paging["limit"], self.rows_max)
        page = found[(paging["offset"] - 1) * limit :][:limit]
        return _ok({"transactions": [_row(t) for t in page], "totalNumInResultSet": len(page)} if page else {})

    def _batch_list(self, first: Instant, last: Instant) -> Response:
        if not 0 <= last - first <= 31 * DAY:
            return _error("E00013", "The date range is invalid.")
        batches = [
            {"batchId": batch, "settlementTimeUTC": to_rfc3339(at), "settlementState": "settledSuccessfully"}
            for batch, at in self.batches.items()
            if first <= at <= last
        ]
        return _ok({"batchList": batches} if batches else {})

    def _details(self, trans_id: str) -> Response:
        one = self.transactions.get(trans_id)
        if not one:
            return _error("E00040", "The record cannot be found.")
        details: dict[str, Any] = {"transId": one.id}
        if one.ref:
            details["refTransId"] = one.ref
        details |= {
            "submitTimeUTC": to_rfc3339(one.at),
            "transactionType": one.type,
            "transactionStatus": one.status,
            "responseCode": 1,
            "authAmount": one.amount,
            "settleAmount": _settles(one),
            "billTo": {"firstName": "Ellen", "lastName": "Johnson"},
        }
        if one.invoice:
            details["order"] = {"invoiceNumber": one.invoice}
        if one.batch:
            details["batch"] = {"batchId": one.batch, "settlementTimeUTC": to_rfc3339(self.batches[one.batch])}
        if one.returned_at:
            details["returnedItems"] = [{"id": "1", "dateUTC": to_rfc3339(one.returned_at), "code": "R02"}]
        return _ok({"transaction": details})


def notification(what: str, payload: dict[str, Any], at: Instant) -> bytes:
    """A webhook's body, with seven digits behind the second."""
    told = {
        "notificationId": str(uuid.uuid4()),
        "eventType": f"net.authorize.payment.{what}.created",
        "eventDate": to_rfc3339(at // SECOND * SECOND).replace("Z", ".1234567Z"),
        "webhookId": "63d6fea2-aa13-4b1d-a204-f5fbc15942b7",
        "payload": payload | {"entityName": "transaction"},
    }
    return _json(told).encode()


def signed(body: bytes, key: str = SIGNATURE_KEY) -> dict[str, str]:
    """The header that comes with the body."""
    return {"x-anet-signature": f"sha512={hmac.new(key.encode(), body, hashlib.sha512).hexdigest().upper()}"}


def _settles(one: Transaction) -> Decimal:
    return Decimal(0) if one.status == "voided" else one.amount


def _row(one: Transaction) -> dict[str, Any]:
    row = {"transId": one.id, "submitTimeUTC": to_rfc3339(one.at), "transactionStatus": one.status}
    if one.invoice:
        row["invoiceNumber"] = one.invoice
    people = {"firstName": "Ellen", "lastName": "Johnson", "accountNumber": "XXXX1111"}
    returned = {"hasReturnedItems": True} if one.returned_at else {"hasReturnedItemsSpecified": False}
    return {**row, **people, "settleAmount": _settles(one), **returned}


def _in_order(name: str, what: dict[str, Any]) -> bool:
    """Whether the elements come in the order of the schema, all the way down."""
    order = _SCHEMA[name]
    if not all(key in order for key in what):
        return False
    places = [order.index(key) for key in what]
    inner = all(_in_order(key, value) for key, value in what.items() if isinstance(value, dict))
    return places == sorted(places) and inner


def _ok(answer: dict[str, Any]) -> Response:
    message = {"code": "I00001", "text": "Successful."} if answer else {"code": "I00004", "text": "No records found."}
    return _reply({**answer, "messages": {"resultCode": "Ok", "message": [message]}})


def _error(code: str, text: str) -> Response:
    return _reply({"messages": {"resultCode": "Error", "message": [{"code": code, "text": text}]}})


def _reply(answer: object) -> Response:
    return Response(b"\xef\xbb\xbf" + _json(answer).encode(), media_type="application/json; charset=utf-8")


def _json(value: object) -> str:
    """Decimals as the numbers they are, with the digits they have."""
    text = json.dumps(value, separators=(",", ":"), default=lambda number: f"\0{number}\0")
    return re.sub(r'"\\u0000([0-9.]+)\\u0000"', r"\1", text)
