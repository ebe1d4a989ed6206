"""Gateways by configuration alone, over HTTP through the real listener to the entries of the ledger."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.shop import Shop, opened
from tests.sources.custom_signed import hash_headers, hmac_headers

PAGE = (Path(__file__).parents[2] / "docs" / "sources" / "custom.md").read_text(encoding="utf-8")
TABLES: dict[str, Any] = {
    name: table
    for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for name, table in tomllib.loads(text)["sources"].items()
}
LISTED: dict[str, Any] = {
    "kind": "custom",
    "webhook_secrets": ["the token"],
    "signature": {"scheme": "token", "header": "X-Token"},
    "items": "events",
    "event_id": "id",
    "type": {"path": "type", "values": {"refund": "refund", "dispute": "chargeback", "won": "chargeback_reversed"}},
    "refund_id": "about",
    "payment_id": "payment",
    "amount": {"path": "amount", "form": "minor"},
    "currency": {"fixed": "GBP"},
    "time": {"path": "at"},
}


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    sources = TABLES | {"listed": LISTED}
    settings = {
        f"SOURCES__{name}__{key}": value if isinstance(value, str) else json.dumps(value)
        for name, table in sources.items()
        for key, value in table.items()
    }
    async with opened(tmp_path, monkeypatch, settings) as made:
        yield made


def accept_blue(
    event_id: str, kind: str = "succeeded", what: str = "refund", at: str = "20T10", number: int = 4021
) -> bytes:
    details = {"order_number": "1", "original_reference_number": 3990}
    data = {"reference_number": number, "auth_amount": 15.0, "transaction": {"transaction_details": details}}
    event = {"event": "transaction", "type": kind, "subType": what, "id": event_id, "timestamp": f"2026-11-{at}:00:00Z"}
    return json.dumps(event | {"data": data}).encode()


async def sent(shop: Shop, body: bytes) -> str:
    reply = await shop.send("acceptblue", body, hmac_headers(TABLES["acceptblue"], body))
    status: str = reply.json()["status"]
    return status


async def test_a_refund_is_matched_once_however_often_it_is_told(shop: Shop) -> None:
    await shop.ordered(1, "3990", 15_00, CustomerCurrencyCode="USD")

    assert await sent(shop, accept_blue("e1")) == "accepted"
    assert await sent(shop, accept_blue("e1")) == "duplicate"
    assert await sent(shop, accept_blue("e2")) == "accepted"  # the same refund in another event
    assert await sent(shop, accept_blue("e3", what="charge")) == "ignored"
    assert await shop.entries() == ["matched |  | 1 | refund succeeded 1500 | 1500"]


async def test_a_refund_that_failed_and_one_that_was_voided_leave_the_customer_waiting(shop: Shop) -> None:
    await shop.ordered(1, "3990", 15_00, CustomerCurrencyCode="USD")

    assert await sent(shop, accept_blue("e1", "declined")) == "accepted"
    assert await shop.entries() == ["unmatched | refund_failed | 1 | refund failed 1500 | 1500"]
    assert await sent(shop, accept_blue("e2", number=4022, at="21T10")) == "accepted"
    assert "matched |  | 1 | refund succeeded 1500 | 1500" in await shop.entries()
    assert await sent(shop, accept_blue("e3", "updated", "void", at="21T11", number=4022)) == "accepted"
    assert [line for line in await shop.entries() if line.startswith("matched")] == []


async def test_a_delivery_that_is_not_proven_is_refused_and_changes_nothing(shop: Shop) -> None:
    body = accept_blue("e1")
    right = hmac_headers(TABLES["acceptblue"], body)
    other = {"webhook_secrets": ["another"], "signature": TABLES["acceptblue"]["signature"]}

    for name, headers in (
        ("acceptblue", {}),
        ("acceptblue", hmac_headers(other, body)),
        ("acceptblue", {"x-signature": ""}),
        ("paytrace", right),
        ("globalpayments", right),
        ("listed", {"x-token": "the toke"}),
    ):
        assert (await shop.send(name, body, headers)).status_code == 401
    assert (await shop.send("acceptblue", body + b" ", right)).status_code == 401
    assert await shop.entries() == []


async def test_a_notification_of_global_payments_by_its_plain_digest(shop: Shop) -> None:
    await shop.ordered(7, "TRN_7", 12_50, CustomerCurrencyCode="USD")
    told = {"id": "TRN_8", "type": "REFUND", "status": "PENDING", "amount": "1250", "currency": "USD",
            "reference": "7", "time_created": "2026-11-20T10:00:00.000Z", "parent_resource_id": "TRN_7"}  # fmt: skip
    for status in ("PENDING", "CAPTURED", "CAPTURED"):
        body = json.dumps(told | {"status": status}).encode()
        reply = await shop.send("globalpayments", body, hash_headers(TABLES["globalpayments"], body))
        assert reply.status_code == 200

    assert reply.json() == {"status": "duplicate"}  # there is no event id: the content is known
    assert await shop.entries() == ["matched |  | 7 | refund succeeded 1250 | 1250"]


async def test_of_a_list_the_good_items_reach_the_ledger_and_a_bad_one_is_set_aside_alone(shop: Shop) -> None:
    await shop.ordered(1, "p1", 15_00)
    await shop.ordered(2, "p2", 0)
    fields = {"payment": "p1", "amount": 1500, "at": "2026-11-20T10:00:00Z"}
    events: list[Any] = [
        {"id": "e1", "type": "refund", "about": "r1"} | fields,
        {"id": "e2", "type": "refund", "about": "r2"} | fields | {"amount": "a lot"},
        17,
        {"id": "e3", "type": "dispute", "about": "d1"} | fields | {"payment": "p2"},
        {"id": "e4", "type": "won", "about": "d1"} | fields | {"payment": "p2", "at": "2026-11-22T10:00:00Z"},
    ]

    reply = await shop.send("listed", json.dumps({"events": events}).encode(), {"x-token": "the token"})

    assert (reply.status_code, reply.json()) == (200, {"status": "accepted"})
    entries = await shop.entries()
    assert "matched |  | 1 | refund succeeded 1500 | 1500" in entries
    assert "closed |  | 2 | chargeback reversed 1500 | " in entries
    assert len(entries) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"null", b"[" * 50_000, b'{"events":7}', b'{"events":[' + b'{"type":"refund"},' * 999 + b"1]}"],
)
async def test_hostile_bodies_never_give_an_error_of_ours(shop: Shop, body: bytes) -> None:
    reply = await shop.send("listed", body, {"x-token": "the token"})

    assert reply.status_code == 200
    assert await shop.entries() == []
