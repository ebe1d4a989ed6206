"""Mollie: its signed webhooks, and its API with lists that begin at an id, newest first."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.faults import Faults, serving

SECRET = "whsec_mollie_of_the_tests"
KEY = "live_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM"


def signed(body: bytes, *secrets: str) -> dict[str, str]:
    """The header by which Mollie proves itself; while a secret rotates there are two signatures."""
    macs = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets or (SECRET,)]
    return {"x-mollie-signature": ", ".join(f"sha256={mac}" for mac in macs)}


def event(event_id: str, event_type: str, entity: dict[str, Any] | None, entity_id: str = "") -> bytes:
    """A next-generation event; without an entity it is the simple one."""
    told: dict[str, Any] = {
        "resource": "event",
        "id": f"event_{event_id}",
        "type": event_type,
        "entityId": entity_id or (entity or {}).get("id"),
        "createdAt": "2026-11-20T12:00:05+00:00",
        "_links": {"self": {"href": "…", "type": "application/hal+json"}},
    }
    return json.dumps(told if entity is None else told | {"_embedded": {"entity": entity}}).encode()


def refund(own: str, payment: str, value: str, status: str = "refunded", **more: object) -> dict[str, Any]:
    """A refund of a payment."""
    return {
        "resource": "refund",
        "id": own,
        "mode": "live",
        "amount": {"currency": "GBP", "value": value},
        "description": "Order #12345",
        "metadata": None,
        "status": status,
        "paymentId": payment,
        "createdAt": "2026-11-20T12:00:00+00:00",
        **more,
    }


def chargeback(own: str, payment: str, value: str, **more: object) -> dict[str, Any]:
    """A chargeback of a payment."""
    return {
        "resource": "chargeback",
        "id": own,
        "amount": {"currency": "GBP", "value": value},
        "settlementAmount": {"currency": "EUR", "value": "-1.00"},
        "paymentId": payment,
        "createdAt": "2026-11-20T13:00:00+00:00",
        "reversedAt": None,
        **more,
    }


def payment(own: str, value: str = "100.00", status: str = "paid", **more: object) -> dict[str, Any]:
    """A payment."""
    return {
        "resource": "payment",
        "id": own,
        "mode": "live",
        "amount": {"currency": "GBP", "value": value},
        "amountRefunded": {"currency": "GBP", "value": "99.00"},
        "description": "Order",
        "metadata": None,
        "status": status,
        "createdAt": "2026-11-19T12:00:00+00:00",
        "details": {"cardHolder": "Ellen Johnson", "consumerAccount": "NL55INGB0000000000"},
        "billingAddress": {"email": "ellen@example.com"},
        **more,
    }


@dataclass
class FakeMollie:
    """One profile; its lists oldest first, as things happened."""

    page: int = 2
    """Items of a page, whatever more was asked for."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    chargebacks: list[dict[str, Any]] = field(default_factory=list)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        routes = [
            Route("/v2/refunds", self._list("refunds")),
            Route("/v2/chargebacks", self._list("chargebacks")),
            Route("/v2/payments/{id}", self._payment),
        ]
        self.faults = Faults(Starlette(routes=routes))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    def has(self, *payments: dict[str, Any]) -> None:
        """These payments are there, or are now so."""
        self.payments |= {one["id"]: one for one in payments}

    def _list(self, name: str) -> Any:  # noqa: ANN401 (an endpoint)
        async def answer(request: Request) -> Response:
            items = getattr(self, name)[::-1]
            ids = [item["id"] for item in items]
            begin = request.query_params.get("from")
            if begin is not None and begin not in ids:
                return _problem(404, "No item exists with this id")
            first = 0 if begin is None else ids.index(begin)
            size = min(int(request.query_params["limit"]), self.page)
            shown = items[first : first + size]
            following = ids[first + size : first + size + 1]
            href = f"https://api.mollie.com/v2/{name}?from={''.join(following)}&limit={size}"
            links = {"previous": None, "next": {"href": href} if following else None}
            return self._answer(request, {"count": len(shown), "_embedded": {name: shown}, "_links": links})

        return answer

    async def _payment(self, request: Request) -> Response:
        own = request.path_params["id"]
        if own not in self.payments:
            return self._answer(request, None)
        of_it = {
            name: [one for one in getattr(self, name) if one["paymentId"] == own] for name in ("refunds", "chargebacks")
        }
        embedded = {name: of_it[name] for name in request.query_params.get("embed", "").split(",") if name}
        return self._answer(request, {**self.payments[own], "_embedded": embedded})

    def _answer(self, request: Request, told: dict[str, Any] | None) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _problem(401, "Missing authentication, or failed to authenticate")
        return _problem(404, "No payment exists with this id") if told is None else JSONResponse(told)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "title": "Error", "detail": detail}, status)
