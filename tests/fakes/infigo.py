"""Infigo: the orders of a storefront, its API with both ways to sign in, and the odd answers it may give.

Nobody outside has seen all of the real one: every answer that working code of others provides for is here.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ledger.instants import Instant, to_rfc3339
from tests.fakes.faults import Faults, serving

TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
PATH = "/store/services/api"

Missing = Literal["404", "null", "empty", "refusal", "page"]


@dataclass
class FakeInfigo:
    """One storefront. Time stands still until a test moves `now`."""

    now: Instant
    auth: Literal["username", "raw"] = "username"
    missing: Missing = "null"
    """What is answered for an order or a job that does not exist."""
    tells_refunded: bool = True
    """Whether an order has a RefundedAmount. Nothing published says so of the real one."""
    byte_order_mark: bool = False
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    """The order that each job belongs to."""

    def __post_init__(self) -> None:
        routes = [Route(f"{PATH}/order/detail/{{id}}", self._order), Route(f"{PATH}/orderlineitem/get", self._job)]
        self.faults = Faults(Starlette(routes=routes, exception_handlers={404: _page}))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address, with the storefront's path: what goes into api_base."""
        with serving(self.faults) as address:
            yield address + PATH

    # What people do --------------------------------------------------------------------------------------------------

    def place(self, order_id: str, total: str, transaction: str | None = None, jobs: tuple[str, ...] = ()) -> None:
        """An order is placed and paid."""
        self.jobs |= dict.fromkeys(jobs, order_id)
        self.orders[order_id] = {
            "Id": int(order_id),
            "OrderStatus": "Processing",
            "PaymentStatus": "Paid",
            "OrderTotal": Decimal(total),
            "RefundedAmount": Decimal(0),
            "CustomerCurrencyCode": "GBP",
            "PaymentMethodSystemName": "Payments.Stripe",
            "CaptureTransactionId": transaction,
            "AuthorizationTransactionId": None,
            "CreatedOnUtc": to_rfc3339(self.now),
            "OrderLineItems": list(jobs),
        }

    def refund(self, order_id: str, amount: str) -> None:
        """A refund is recorded. No money moves."""
        order = self.orders[order_id]
        order["RefundedAmount"] += Decimal(amount)
        whole = order["RefundedAmount"] >= order["OrderTotal"]
        order["PaymentStatus"] = "Refunded" if whole else "PartiallyRefunded"

    def take_back(self, order_id: str) -> None:
        """What was recorded as refunded, was a mistake."""
        self.orders[order_id] |= {"RefundedAmount": Decimal(0), "PaymentStatus": "Paid"}

    def cancel(self, order_id: str) -> None:
        """An order is cancelled. No money moves."""
        self.orders[order_id]["OrderStatus"] = "Cancelled"

    def envelope(self, job: str) -> bytes:
        """The webhook that says that something about a job changed."""
        item = {"Id": job, "CustomerId": 123, "Status": 23, "Name": "Cards"}
        return json.dumps({"webhook": {"action": "updated", "entity": "orderlineitem"}, "data": [item]}).encode()

    def changed(self, order_id: str) -> bytes:
        """What our own script sends of an order as it is now."""
        told = {"event": "order.changed", "occurred_at": to_rfc3339(self.now), "order": self._shown(order_id)}
        return _json(told)

    # What is answered ------------------------------------------------------------------------------------------------

    async def _order(self, request: Request) -> Response:
        order_id = request.path_params["id"]
        return self._answer(request, self._shown(order_id) if order_id in self.orders else None)

    async def _job(self, request: Request) -> Response:
        job = request.query_params.get("id", "")
        order_id = self.jobs.get(job)
        return self._answer(request, {"OpvId": 7, "JobId": job, "OrderId": int(order_id)} if order_id else None)

    def _shown(self, order_id: str) -> dict[str, Any]:
        hidden = () if self.tells_refunded else ("RefundedAmount",)
        return {name: value for name, value in self.orders[order_id].items() if name not in hidden}

    def _answer(self, request: Request, told: dict[str, Any] | None) -> Response:
        token = TOKEN if self.auth == "raw" else b64encode(f"{TOKEN}:".encode()).decode()
        if request.headers.get("authorization") != f"Basic {token}":
            return Response(status_code=401)
        if told is None:
            return _MISSING[self.missing]
        mark = b"\xef\xbb\xbf" if self.byte_order_mark else b""
        return Response(mark + _json(told), media_type="application/json")


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, default=float).encode()  # of two decimals a float writes what it was made of


_REFUSAL = {"Success": False, "ContextInfo": {"ErrorList": [{"ErrorMessage": "Order of someone@example.com"}]}}
_MISSING: dict[Missing, Response] = {
    "404": JSONResponse({"Message": "Not found"}, 404),
    "null": JSONResponse(None),
    "empty": Response(b"", 200),
    "refusal": JSONResponse(_REFUSAL),
    "page": HTMLResponse("<!DOCTYPE html><title>Not found</title>", 404),
}


async def _page(_request: Request, _error: Exception) -> Response:
    return HTMLResponse("<!DOCTYPE html><title>Page not found</title>", 404)
