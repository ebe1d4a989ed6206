"""Whatever is asked, the answer is never a fault of ours."""

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.pages import FLASH
from console.session import COOKIE
from storage.database import open_database
from tests.console.harness import UNKNOWN_ID, Desk, at_desk, browsing
from tests.ledger.build import order, refund
from tests.postgres import create_database, drop_database

names = st.sampled_from(["status", "reason", "source", "order", "since", "until", "limit", "cursor"])
words = st.sampled_from(
    ["", "0", "-1", "1e9", "9" * 30, "null", "'; DROP TABLE entries; --", "%", "\x00", "\ud7ff", "2026-11-01",
     "9999-12-31T23:59:59.999999+23:59", "0001-01-01", "unmatched", "shop", "1001", "MTIz", "MC4w"]
)  # fmt: skip
values = words | st.text(max_size=300)
anything = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
async def told(sqlite_url: str) -> AsyncIterator[Desk]:
    """With something in the ledger; the other database takes the same parameters in the tests of its own below."""
    async with open_database(sqlite_url, "cli") as database, at_desk(sqlite_url, database) as desk:
        await desk.tell(order("partially_refunded", 1500), refund("re_1"), refund("re_2", payment_ids=()))
        yield desk


@anything
@given(query=st.lists(st.tuples(names | values, values), max_size=4))
async def test_no_query_is_a_fault(told: Desk, query: list[tuple[str, str]]) -> None:
    for path in ("/api/v1/entries", "/api/v1/export.csv"):
        answer = await told.viewer.get(f"{path}?{urlencode(query, errors='replace')}")
        assert answer.status_code in (200, 400)


@anything
@given(raw=st.binary(max_size=200))
async def test_no_bytes_in_a_query_are_a_fault(told: Desk, raw: bytes) -> None:
    answer = await told.viewer.get(f"/api/v1/entries?order={quote(raw)}")
    assert answer.status_code in (200, 400)


@anything
@given(path=st.text(max_size=100))
async def test_no_path_is_a_fault(told: Desk, path: str) -> None:
    written = quote(path, errors="replace", safe="")
    for prefix in ("/api/v1/entries/", "/api/v1/orders/", "/api/v1/orders/shop/", "/"):
        assert (await told.viewer.get(prefix + written)).status_code in (200, 303, 404)
    async with browsing(told) as ann:
        for prefix in ("/entries/", "/orders/shop/", f"/entries/{UNKNOWN_ID}/", "/static/"):
            assert (await ann.client.get(prefix + written)).status_code in (200, 404)


@anything
@given(
    query=st.lists(
        st.tuples(
            names | st.sampled_from(["q", "page", "action", "before", "entry", "store", "assigned", "next"]), values
        ),
        max_size=4,
    )
)
async def test_no_query_of_a_page_is_a_fault(told: Desk, query: list[tuple[str, str]]) -> None:
    entry = told.expected()[0]
    async with browsing(told) as ann:
        for path in ("/exceptions", "/search", "/audit", "/resolve", f"/entries/{entry.id}/link", "/signin"):
            answer = await ann.client.get(f"{path}?{urlencode(query, errors='replace')}")
            assert answer.status_code in (200, 303, 400), path


@anything
@given(body=st.binary(max_size=200), cookie=st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])))
async def test_no_form_and_no_cookie_is_a_fault(told: Desk, body: bytes, cookie: str) -> None:
    cookies = f"{COOKIE}={cookie}; {FLASH}={cookie}".encode("latin-1")
    headers = httpx.Headers({b"origin": b"http://console", b"cookie": cookies})
    answer = await told.anybody.post("/signin", content=body, headers=headers)
    assert answer.status_code in (400, 403, 429)
    assert (await told.anybody.get("/exceptions", headers=headers)).status_code == 303


@anything
@given(action=st.sampled_from(["resolve", "link", "snooze", "assign", "note"]), body=st.binary(max_size=200))
async def test_no_body_is_a_fault(told: Desk, action: str, body: bytes) -> None:
    answer = await told.operator.post(f"/api/v1/entries/{UNKNOWN_ID}/{action}", content=body)
    assert answer.status_code in (400, 404)


STRANGE = [
    "order=%00",
    "order=%ED%A0%80",
    "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTkuYQ",
    "cursor=OTIyMzM3MjAzNjg1NDc3NTgwNy5h",
    "since=9999-12-31T23:59:59.999999Z",
    "until=1970-01-01",
    "order=%F0%9F%98%80%27%22%5C",
]


async def test_both_databases_take_what_is_strange(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500))
    for query in STRANGE:
        assert (await desk.viewer.get(f"/api/v1/entries?{query}")).status_code in (200, 400)
    async with browsing(desk) as ann:
        for text in ("%00", "%ED%A0%80", "%F0%9F%98%80%27%22%5C", "%E2%80%AE"):
            await ann.get(f"/search?q={text}")
            assert "Nothing here matches." in await ann.get(f"/exceptions?assigned={text}")


async def test_a_fault_of_ours_is_500_without_its_text(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a text that quotes a customer")

    monkeypatch.setattr("console.entries.entry_json", fault)
    await desk.tell(order("partially_refunded", 1500))
    answer = await desk.viewer.get("/api/v1/entries")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["cache-control"] == "no-store"
    assert "customer" not in answer.text
    assert "a request failed" in caplog.messages


async def test_a_database_that_is_gone_is_503(postgres: str) -> None:
    url = await create_database(postgres)
    async with open_database(url, "cli") as database, at_desk(url, database) as desk:
        assert (await desk.anybody.get("/readyz")).status_code == 200
        await desk.tell(refund("re_1", payment_ids=()))
        entry = await desk.entry()
        await drop_database(postgres, url)
        for answer in (await desk.viewer.get("/api/v1/entries"), await desk.decide(entry["id"], "note", text="hello")):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert answer.headers["retry-after"] == "5"
