"""PayPal: its certificate, its signatures, and its API with the pages and texts that its specifications have."""

import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ledger.instants import Instant, to_rfc3339
from tests.fakes.faults import Faults, serving

WEBHOOK_ID = "5GP028458E2496506"
CLIENT_ID, CLIENT_SECRET = "AZDxjDScFpQtjWTOUtWKbyN_bDt4OgqaF4eYXlewfBP4", "EGnHDxD_qRPdaLdZz8iCr8N7_MzF"
CERTIFICATE = "CERT-360caa42-fca2a594-1d93a270"


@cache
def private_key(_name: str, bits: int) -> rsa.RSAPrivateKey:
    """The key of the certificate of this name."""
    return rsa.generate_private_key(65537, bits)


@cache
def certificate(name: str = CERTIFICATE, until: int = 2037, bits: int = 2048) -> bytes:
    """In PEM, valid from 2020 until the beginning of that year."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
    key = private_key(name, bits)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signed(body: bytes, base: str, webhook_id: str = WEBHOOK_ID, name: str = CERTIFICATE) -> dict[str, str]:
    """The headers by which PayPal proves itself; the certificate lies at `base`."""
    sent, at = "69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2026-11-20T12:00:00Z"
    text = f"{sent}|{at}|{webhook_id}|{zlib.crc32(body)}".encode()
    signature = private_key(name, 2048).sign(text, padding.PKCS1v15(), hashes.SHA256())
    return {
        "paypal-transmission-id": sent,
        "paypal-transmission-time": at,
        "paypal-transmission-sig": base64.b64encode(signature).decode(),
        "paypal-cert-url": f"{base}/v1/notifications/certs/{name}",
        "paypal-auth-algo": "SHA256withRSA",
    }


def event(event_id: str, event_type: str, resource: dict[str, Any], at: str = "2026-11-20T12:00:00.000Z") -> bytes:
    """An event, as it is delivered and as it is listed."""
    told: dict[str, Any] = {
        "id": f"WH-{event_id}",
        "event_version": "1.0",
        "create_time": at,
        "resource_type": "refund" if "REFUND" in event_type else "capture",
        "event_type": event_type,
        "summary": "An event",
        "resource": resource,
        "links": [],
    }
    return json.dumps(told).encode()


def refund(
    name: str, capture: str, value: str, total: str = "", at: str = "2026-11-20T04:00:00-08:00", **more: object
) -> dict[str, Any]:
    """A refund of a capture, in pounds; `total` is the running total of the capture."""
    return {
        "id": name,
        "status": "COMPLETED",
        "amount": {"currency_code": "GBP", "value": value},
        "seller_payable_breakdown": {
            "gross_amount": {"currency_code": "GBP", "value": value},
            "total_refunded_amount": {"currency_code": "GBP", "value": total or value},
        },
        "create_time": at,
        "update_time": at,
        "links": [
            {"href": f"https://api.paypal.com/v2/payments/refunds/{name}", "rel": "self", "method": "GET"},
            {"href": f"https://api.paypal.com/v2/payments/captures/{capture}", "rel": "up", "method": "GET"},
        ],
        **more,
    }


def capture(name: str, value: str, currency: str = "GBP", **more: object) -> dict[str, Any]:
    """A captured payment."""
    return {
        "id": name,
        "status": "COMPLETED",
        "amount": {"currency_code": currency, "value": value},
        "final_capture": True,
        "create_time": "2026-11-19T12:00:00Z",
        "update_time": "2026-11-19T12:00:00Z",
        **more,
    }


@dataclass
class FakePayPal:
    """One app of one account. Time stands still until a test moves `now`."""

    now: Instant
    page: int = 2
    """Items of a page, whatever more was asked for."""
    certificates: dict[str, bytes] = field(default_factory=lambda: {CERTIFICATE: certificate()})
    events: list[bytes] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    """The `transaction_info` of what the search finds."""
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Refunds and captures, by "refunds/id" and "captures/id"."""
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    """What the lists were asked."""
    tokens: int = 0

    def __post_init__(self) -> None:
        routes = [
            Route("/v1/notifications/certs/{name}", self._certificate),
            Route("/v1/oauth2/token", self._token, methods=["POST"]),
            Route("/v1/notifications/webhooks-events", self._events),
            Route("/v1/notifications/webhooks", self._webhooks),
            Route("/v1/reporting/transactions", self._search),
            Route("/v2/payments/{kind}/{id}", self._thing),
        ]
        self.faults = Faults(Starlette(routes=routes))
        self.base = ""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as self.base:
            yield self.base

    def line(self, name: str, value: str, at: Instant, **more: object) -> None:
        """A refund of the transaction search."""
        told = {
            "paypal_account_id": "QY3ZKXWAVFNUJ",
            "transaction_id": name,
            "paypal_reference_id": "0JF852973C016714D",
            "transaction_event_code": "T1107",
            "transaction_initiation_date": to_rfc3339(at).replace("Z", "+0000"),
            "transaction_updated_date": to_rfc3339(at).replace("Z", "+0000"),
            "transaction_amount": {"currency_code": "GBP", "value": f"-{value}"},
            "transaction_status": "S",
            "transaction_note": "for someone@example.com",
        }
        self.lines.append(told | more)

    async def _certificate(self, request: Request) -> Response:
        pem = self.certificates.get(request.path_params["name"])
        return PlainTextResponse(pem) if pem else Response(status_code=404)

    async def _token(self, request: Request) -> Response:
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers["authorization"] != f"Basic {expected}":
            return JSONResponse({"error": "invalid_client"}, 401)
        assert await request.body() == b"grant_type=client_credentials"
        self.tokens += 1
        return JSONResponse({"access_token": f"A21AA{self.tokens}", "token_type": "Bearer", "expires_in": 32400})

    async def _events(self, request: Request) -> Response:
        first = int(request.query_params.get("from", 0))
        self.queries.append(dict(request.query_params))
        shown = self.events[first : first + self.page]
        links = [{"href": f"{self.base}{request.url.path}?page_size={self.page}", "rel": "self", "method": "GET"}]
        if first + self.page < len(self.events):
            following = f"https://api.paypal.com{request.url.path}?from={first + self.page}&page_size={self.page}"
            links.append({"href": following, "rel": "next", "method": "GET"})
        body = b'{"events":[%s],"count":%d,"links":%s}' % (b",".join(shown), len(shown), json.dumps(links).encode())
        return self._answer(request, Response(body, media_type="application/json"))

    async def _search(self, request: Request) -> Response:
        asked = request.query_params
        self.queries.append(dict(asked))
        first = (int(asked["page"]) - 1) * self.page
        found = [{"transaction_info": line} for line in self.lines]
        pages = -(-len(found) // self.page)
        told = {"transaction_details": found[first : first + self.page], "page": int(asked["page"])}
        return self._answer(request, JSONResponse(told | {"total_pages": pages, "total_items": len(found)}))

    async def _thing(self, request: Request) -> Response:
        thing = self.things.get(f"{request.path_params['kind']}/{request.path_params['id']}")
        missing = JSONResponse({"name": "RESOURCE_NOT_FOUND"}, 404)
        return self._answer(request, JSONResponse(thing) if thing else missing)

    async def _webhooks(self, request: Request) -> Response:
        return self._answer(request, JSONResponse({"webhooks": self.webhooks}))

    def _answer(self, request: Request, response: Response) -> Response:
        if request.headers["authorization"] != f"Bearer A21AA{self.tokens}":
            return JSONResponse({"error": "invalid_token"}, 401)
        return response
