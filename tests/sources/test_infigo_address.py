"""Where an order tells its customer's e-mail address."""

import json
from typing import Any

import pytest

from sources.base import Event
from sources.infigo import CHANGED, DOCUMENT, ENVELOPE, READ
from tests.sync.build import SOURCES

CUSTOMER, BILL, OTHER = {"Email": "ann@example.org"}, {"Email": "office@example.org"}, {"Email": "nextdoor@example.org"}


def address(type_: str, body: Any) -> str | None:  # noqa: ANN401 - any JSON
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCES["shop"].customer_address(Event(1, "shop", "k", type_, content, 0))


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"CustomerEmail": "ann@example.org", "BillingAddress": BILL}, "ann@example.org"),
        ({"Customer": CUSTOMER, "BillingAddress": BILL, "ShippingAddress": OTHER}, "ann@example.org"),
        ({"Customer": {"Email": ""}, "BillingAddress": BILL}, "office@example.org"),
        ({"Customer": {"Email": "ann@example.org\nBcc: x@example.org"}, "BillingAddress": BILL}, "office@example.org"),
        ({"ShippingAddress": OTHER}, None),
        ({"Customer": "ann@example.org", "BillingAddress": [BILL]}, None),
        ({"CustomerEmail": 5, "Customer": {"Email": {"x": 1}}}, None),
    ],
)
def test_it_is_the_accounts_else_the_bills_and_never_the_shipments(order: dict[str, Any], told: str | None) -> None:
    assert address(CHANGED, {"event": "order.changed", "order": {"Id": 1} | order}) == told
    assert address(READ, {"Id": 1} | order) == told
    assert address(DOCUMENT, {"OrderId": 1} | order) == told


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", {"event": "order.changed"}, {"event": 7}, {}])
def test_what_is_no_order_has_none(body: Any) -> None:  # noqa: ANN401
    assert address(CHANGED, body) is None
    assert address(ENVELOPE, {"webhook": {"action": "x"}, "data": [CUSTOMER]}) is None


def test_a_gateway_knows_no_customer() -> None:
    assert SOURCES["stripe"].customer_address(Event(1, "stripe", "k", "refund.created", b"{}", 0)) is None
