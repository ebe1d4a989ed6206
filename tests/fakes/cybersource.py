"""CyberSource: its search for requests, page by page, their details, and the signature that every call needs."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ledger.instants import from_rfc3339
from tests.fakes.faults import Faults, serving

MERCHANT, KEY_ID = "print_shop", "08c94330-f618-42a3-b09d-e1e43be5efda"
SECRET = base64.b64encode(b"a shared secret of the tests, 32").decode()


def transaction(
    own: str, name: str, amount: str, status: str = "", *related: str, root: str = "", **more: object
) -> dict[str, Any]:
    """A request that ran one application or several ("ics_auth,ics_bill"), with its details."""
    href = "https://apitest.cybersource.com/tss/v2/transactions/"
    applications = [
        {
            "name": one,
            "reasonCode": "100",
            "rCode": "1",
            "rFlag": "SOK",
            "rMessage": "Request was processed successfully.",
        }
        | ({"status": status} if status else {})
        for one in name.split(",")
    ]
    links = {"self": {"href": href + own, "method": "GET"}}
    return {
        "id": own,
        "rootId": root or (related[0] if related else own),
        "submitTimeUTC": "2026-11-20T12:00:00Z",
        "merchantId": MERCHANT,
        "applicationInformation": {"reasonCode": 100, "applications": applications}
        | ({"status": status} if status else {}),
        "clientReferenceInformation": {"code": "", "applicationName": "REST API"},
        "orderInformation": {
            "billTo": {"firstName": "Ellen", "email": "ellen@example.com"},
            "amountDetails": {"totalAmount": amount, "currency": "GBP", "taxAmount": "0"},
        },
        "paymentInformation": {"card": {"suffix": "4242", "prefix": "424242"}},
        "_links": links
        | ({"relatedTransactions": [{"href": href + i, "method": "GET"} for i in related]} if related else {}),
        **more,
    }


def declined(made: dict[str, Any]) -> dict[str, Any]:
    """The same, refused."""
    refused = {"reasonCode": "102", "rCode": "0", "rFlag": "DINVALIDDATA"}
    applications = [one | refused for one in made["applicationInformation"]["applications"]]
    return made | {"applicationInformation": {"reasonCode": 102, "applications": applications}}


def ordered(made: dict[str, Any], code: str) -> dict[str, Any]:
    """The same, of this order."""
    return made | {"clientReferenceInformation": {"code": code}}


@dataclass
class FakeCyberSource:
    """One merchant."""

    page: int = 2
    """Rows of a page, whatever more was asked for."""
    transactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        routes = [
            Route("/tss/v2/searches", self._search, methods=["POST"]),
            Route("/tss/v2/transactions/{id}", self._details),
        ]
        self.faults = Faults(Starlette(routes=routes))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    def has(self, *transactions: dict[str, Any]) -> None:
        """These are there, or are now so."""
        self.transactions |= {one["id"]: one for one in transactions}

    async def _search(self, request: Request) -> Response:
        if not await _signed(request):
            return _unauthorized()
        asked = await request.json()
        self.queries.append(asked)
        since, until = map(int, re.fullmatch(r"submitTimeUtc:\[(\d+) TO (\d+)\]", asked["query"]).groups())  # type: ignore[union-attr]
        found = [t for t in self.transactions.values() if since <= from_rfc3339(t["submitTimeUTC"]) // 1000 <= until]
        shown = found[asked["offset"] : asked["offset"] + min(asked["limit"], self.page)]
        told: dict[str, Any] = {"count": len(shown), "totalCount": len(found)}
        if shown:
            told["_embedded"] = {"transactionSummaries": list(map(_summary, shown))}
        return JSONResponse(told, 201)

    async def _details(self, request: Request) -> Response:
        if not await _signed(request):
            return _unauthorized()
        found = self.transactions.get(request.path_params["id"])
        return JSONResponse(found) if found else JSONResponse({"message": "not found"}, 404)


def _summary(details: dict[str, Any]) -> dict[str, Any]:
    """A row of the search: without root and status, and its time under another name."""
    row = {name: details[name] for name in ("id", "merchantId", "clientReferenceInformation", "orderInformation")}
    told = [
        {k: v for k, v in one.items() if k != "status"} for one in details["applicationInformation"]["applications"]
    ]
    return row | {"submitTimeUtc": details["submitTimeUTC"], "applicationInformation": {"applications": told}}


async def _signed(request: Request) -> bool:
    """Whether the signature fits what came, by the documents of HTTP signatures."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', request.headers.get("signature", "")))
    body = await request.body()
    digest = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
    if given.get("keyid") != KEY_ID or given.get("algorithm") != "HmacSHA256":
        return False
    wanted = ["host", "date", "request-target", *(["digest"] if request.method == "POST" else []), "v-c-merchant-id"]
    if given["headers"].split() != wanted or (request.method == "POST" and request.headers.get("digest") != digest):
        return False
    target = f"{request.method.lower()} {request.url.path}"
    text = "\n".join(f"{name}: {target if name == 'request-target' else request.headers[name]}" for name in wanted)
    mac = hmac.new(base64.b64decode(SECRET), text.encode(), hashlib.sha256).digest()
    return request.headers["v-c-merchant-id"] == MERCHANT and given["signature"] == base64.b64encode(mac).decode()


def _unauthorized() -> Response:
    return JSONResponse({"response": {"rmsg": "Authentication Failed"}}, 401)
