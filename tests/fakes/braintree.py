"""Braintree: its notifications with their signatures, and its searches in XML.

As the real one: a form around base64 with line ends around XML, names with dashes, ids first and transactions after,
one element where others would have a list of one, and more about the customer than anybody here wants.
"""

import base64
import hashlib
import hmac
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.faults import Faults, serving

PUBLIC, PRIVATE, MERCHANT = "integration_public_key", "integration_private_key", "integration_merchant_id"


def mac(text: str, private: str = PRIVATE) -> str:
    """What Braintree signs a payload or a challenge with."""
    return hmac.new(hashlib.sha1(private.encode()).digest(), text.encode(), hashlib.sha1).hexdigest()


def form(content: bytes, public: str = PUBLIC, private: str = PRIVATE) -> bytes:
    """A delivery of this content, signed by an older key of the account as well."""
    payload = base64.encodebytes(content).decode()
    signature = f"an_older_key|{mac(payload, 'older')}&{public}|{mac(payload, private)}"
    return urlencode({"bt_signature": signature, "bt_payload": payload}).encode()


def notification(kind: str, thing: dict[str, Any], at: str = "2026-11-20T12:00:05Z") -> bytes:
    """The XML about a transaction or a dispute."""
    subject = {"dispute" if kind.startswith("dispute") else "transaction": thing}
    return xml("notification", {"timestamp": at, "kind": kind, "subject": subject})


def transaction(own: str, kind: str, amount: str, status: str, *steps: str, **more: object) -> dict[str, Any]:
    """A sale or a credit; `steps` are earlier statuses, a minute apart."""
    history = [
        {"timestamp": f"2026-11-20T12:{n:02}:00Z", "status": step, "amount": amount, "user": "shop@example.com"}
        for n, step in enumerate((*steps, status))
    ]
    return {
        "id": own,
        "status": status,
        "type": kind,
        "currency_iso_code": "GBP",
        "amount": amount,
        "merchant_account_id": "print_shop",
        "order_id": None,
        "created_at": "2026-11-20T12:00:00Z",
        "updated_at": history[-1]["timestamp"],
        "customer": {"first_name": "Ellen", "email": "ellen@example.com"},
        "credit_card": {"bin": "411111", "last_4": "1111"},
        "refund_ids": [],
        "refunded_transaction_id": None,
        "payment_instrument_type": "credit_card",
        "status_history": history,
        **more,
    }


def refund(own: str, payment: str | None, amount: str, status: str = "settled", **more: object) -> dict[str, Any]:
    """A refund of a payment."""
    return transaction(own, "credit", amount, status, **({"refunded_transaction_id": payment} | more))


def dispute(own: str, payment: str, amount: str, status: str = "open", **more: object) -> dict[str, Any]:
    """A chargeback of a payment."""
    history = [{"status": "open", "timestamp": "2026-11-20T13:00:00Z"}]
    if status != "open":
        history.append({"status": status, "timestamp": "2026-11-24T13:00:00Z"})
    return {
        "id": own,
        "amount": amount,
        "amount_disputed": amount,
        "amount_won": "0.00",
        "created_at": "2026-11-20T13:00:00Z",
        "currency_iso_code": "GBP",
        "kind": "chargeback",
        "received_date": "2026-11-20",
        "status": status,
        "status_history": history,
        "evidence": [],
        "transaction": {"id": payment, "amount": amount, "order_id": None},
        "date_won": None,
        **more,
    }


def xml(name: str, value: object, **attributes: str) -> bytes:
    """The value as Braintree writes it."""
    return ET.tostring(_element(name, value, attributes))


def _element(name: str, value: object, attributes: dict[str, str]) -> ET.Element:
    element = ET.Element(name.replace("_", "-"), attributes)
    if value is None:
        element.set("nil", "true")
    elif isinstance(value, dict):
        for key, inner in value.items():
            element.append(_element(key, inner, {}))
    elif isinstance(value, list):
        element.set("type", "array")
        element.extend([_element("item", inner, {}) for inner in value])
    else:
        element.text = str(value)
    return element


@dataclass
class FakeBraintree:
    """One merchant."""

    page: int = 2
    transactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        base = f"/merchants/{MERCHANT}"
        routes = [
            Route(f"{base}/transactions/advanced_search_ids", self._ids, methods=["POST"]),
            Route(f"{base}/transactions/advanced_search", self._found, methods=["POST"]),
            Route(f"{base}/transactions/{{id}}", self._one),
            Route(f"{base}/disputes/advanced_search", self._disputes, methods=["POST"]),
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

    async def _ids(self, request: Request) -> Response:
        search = ET.fromstring(await request.body())
        ids = [one["id"] for one in self.transactions.values() if _fits(one, search)]
        found = _element("search_results", {"page_size": self.page, "ids": ids}, {})
        return self._answer(request, ET.tostring(found))

    async def _found(self, request: Request) -> Response:
        search = ET.fromstring(await request.body())
        asked = [item.text or "" for item in search.findall("ids/item")]
        if len(asked) > self.page:
            return Response(status_code=422)
        collection = ET.Element("credit-card-transactions", {"type": "collection"})
        collection.append(_element("current_page_number", 1, {}))
        collection.extend([_element("transaction", self.transactions[own], {}) for own in asked])
        return self._answer(request, ET.tostring(collection))

    async def _one(self, request: Request) -> Response:
        found = self.transactions.get(request.path_params["id"])
        return self._answer(request, xml("transaction", found) if found else None)

    async def _disputes(self, request: Request) -> Response:
        search = ET.fromstring(await request.body())
        fitting = [one for one in self.disputes if _between(search.find("received_date"), one["received_date"])]
        first = (int(request.query_params["page"]) - 1) * self.page
        collection = ET.Element("disputes", {"type": "collection"})
        numbers = {"current_page_number": 1, "page_size": self.page, "total_items": len(fitting)}
        collection.extend([_element(name, number, {}) for name, number in numbers.items()])
        collection.extend([_element("dispute", one, {}) for one in fitting[first : first + self.page]])
        return self._answer(request, ET.tostring(collection))

    def _answer(self, request: Request, content: bytes | None) -> Response:
        credentials = base64.b64encode(f"{PUBLIC}:{PRIVATE}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {credentials}":
            return Response(status_code=401)
        if request.headers.get("x-apiversion") != "6":
            return Response(status_code=426)
        return Response(status_code=404) if content is None else Response(content, media_type="application/xml")


def _fits(one: dict[str, Any], search: ET.Element) -> bool:
    types = [item.text for item in search.findall("type/item")]
    voided = [step["timestamp"] for step in one["status_history"] if step["status"] == "voided"]
    return (
        one["type"] in types
        and _between(search.find("created_at"), one["created_at"])
        and (search.find("voided_at") is None or any(_between(search.find("voided_at"), at) for at in voided))
    )


def _between(criterion: ET.Element | None, moment: str) -> bool:
    """Times in one form compare as they sort; a day counts from its beginning."""
    if criterion is None:
        return True
    return str(criterion.findtext("min")) <= moment.ljust(20, "\x7f") and moment <= str(criterion.findtext("max"))
