"""Square: its signatures, its events, and its API with cursors."""

import base64
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

SIGNATURE_KEY = "Ibxx_5AKakO-3qeNVR61Dw"
ADDRESS = "https://refunds.example.com/webhooks/square"
TOKEN = "EAAAEOuLQObrVwJvCvoio3H13b8Ssqz1ighmTBKZvIENW9qxirHGHkqsGcPBC1uN"


def signed(body: bytes, key: str = SIGNATURE_KEY, address: str = ADDRESS) -> dict[str, str]:
    """The header by which Square proves itself."""
    mac = hmac.digest(key.encode(), address.encode() + body, hashlib.sha256)
    return {"x-square-hmacsha256-signature": base64.b64encode(mac).decode()}


def event(event_id: str, event_type: str, thing: dict[str, Any]) -> bytes:
    """An event about a refund, a payment or a dispute."""
    kind = event_type.partition(".")[0]
    told = {
        "merchant_id": "6SSW7HV8K2ST5",
        "type": event_type,
        "event_id": event_id,
        "created_at": "2026-11-20T12:00:00Z",
        "data": {"type": kind, "id": thing.get("id"), "object": {kind: thing}},
    }
    return json.dumps(told).encode()


def refund(name: str, payment: str, amount: int, status: str = "COMPLETED", **more: object) -> dict[str, Any]:
    """A refund of a payment."""
    return {
        "id": name,
        "status": status,
        "amount_money": {"amount": amount, "currency": "GBP"},
        "payment_id": payment,
        "order_id": "haOyDuHiqtAXMk0d8pDKXpL7Jg4F",
        "location_id": "NAQ1FHV6ZJ8YV",
        "created_at": "2026-11-20T12:00:00.836Z",
        "updated_at": "2026-11-20T12:00:01.846Z",
        "version": 7,
        **more,
    }


def payment(name: str, amount: int, status: str = "COMPLETED", **more: object) -> dict[str, Any]:
    """A payment."""
    return {
        "id": name,
        "status": status,
        "amount_money": {"amount": amount, "currency": "GBP"},
        "total_money": {"amount": amount, "currency": "GBP"},
        "created_at": "2026-11-19T12:00:00Z",
        "updated_at": "2026-11-19T12:00:02Z",
        **more,
    }


def dispute(name: str, payment: str, amount: int, state: str, **more: object) -> dict[str, Any]:
    """A dispute about a payment."""
    return {
        "id": name,
        "state": state,
        "amount_money": {"amount": amount, "currency": "GBP"},
        "disputed_payment": {"payment_id": payment},
        "reason": "NO_KNOWLEDGE",
        "created_at": "2026-11-20T13:00:00Z",
        "updated_at": "2026-11-20T14:00:00Z",
        **more,
    }


@dataclass
class FakeSquare:
    """One seller."""

    page: int = 2
    """Items of a page, whatever more was asked for."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    """What the lists were asked."""

    def __post_init__(self) -> None:
        routes = [
            Route("/v2/refunds", self._list("refunds")),
            Route("/v2/disputes", self._list("disputes")),
            Route("/v2/webhooks/subscriptions", self._list("subscriptions")),
            Route("/v2/payments/{id}", self._payment),
        ]
        self.faults = Faults(Starlette(routes=routes))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    def _list(self, name: str) -> Any:  # noqa: ANN401 (an endpoint)
        async def answer(request: Request) -> Response:
            self.queries.append(dict(request.query_params))
            items, first = getattr(self, name), int(request.query_params.get("cursor", 0))
            shown = items[first : first + self.page]
            told = {name: shown} if shown else {}  # an empty list is left out
            if first + self.page < len(items):
                told["cursor"] = str(first + self.page)
            return self._answer(request, told)

        return answer

    async def _payment(self, request: Request) -> Response:
        found = self.payments.get(request.path_params["id"])
        return self._answer(request, {"payment": found} if found else None)

    def _answer(self, request: Request, told: dict[str, Any] | None) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"errors": [{"code": "UNAUTHORIZED"}]}, 401)
        return JSONResponse({"errors": [{"code": "NOT_FOUND"}]}, 404) if told is None else JSONResponse(told)
