"""The console in a real browser: every page, every action, the keyboard alone, a phone, an order with a vile name."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Browser, expect

import storage.decisions
from storage.database import open_database
from tests.console.browser import DESK, PHONE, Window, chromium, serving, window
from tests.console.harness import TOKENS, Desk, at_desk
from tests.console.test_pages import HOSTILE, STRAY, on_order
from tests.ledger.build import order, paid, refund


@dataclass
class Scene:
    """A console with something to do, and a browser."""

    desk: Desk
    browser: Browser
    address: str

    def entry(self, reason: str) -> str:
        """The id of the entry that stands so."""
        [found] = [entry.id for entry in self.desk.expected() if entry.reason == reason]
        return found


@pytest.fixture
async def scene(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Three exceptions, a matched refund, sync at work."""
    monkeypatch.setattr(storage.decisions, "WAIT_SECONDS", 60.0)
    async with (
        chromium() as browser,
        open_database(sqlite_url, "cli") as database,
        at_desk(sqlite_url, database) as desk,
    ):
        await desk.tell(STRAY, *on_order(71, 400), paid(), order("partially_refunded", 1500), refund("re_2", 1200))
        await desk.tell(*on_order(72, 800), refund("re_3", 800, payment_ids=("pi_72",)))
        async with serving(desk.app) as address, desk.followed():
            yield Scene(desk, browser, address)


PLACES: list[tuple[tuple[int, int], str]] = [(DESK, "light"), (DESK, "dark"), (PHONE, "light")]


async def test_every_page_can_be_used_by_everybody_in_light_in_dark_and_on_a_phone(scene: Scene) -> None:
    stray = scene.entry("order_unknown")
    paths = [
        "/exceptions", "/exceptions?reason=refund_failed", "/exceptions?page=9", f"/entries/{stray}",
        f"/entries/{scene.entry('amount_mismatch')}", *(f"/entries/{stray}/{a}" for a in ("resolve", "link", "snooze")),
        f"/resolve?entry={stray}", "/resolve", "/orders/shop/1001", "/overview", "/search?q=1001", "/search?q=nothing",
        "/search", "/audit", "/report",
    ]  # fmt: skip
    found: dict[object, list[str]] = {}
    for size, scheme in PLACES:
        async with window(scene.browser, scene.address, size, scheme) as seen:  # type: ignore[arg-type]
            await seen.go("/")
            found["signing in", size, scheme] = await seen.barriers()
            await seen.sign_in()
            for path in paths:
                await seen.go(path)
                found[path, size, scheme] = await seen.barriers()
    assert {where: told for where, told in found.items() if told} == {}


async def act(seen: Window, name: str, button: str, **fields: str) -> str:
    """Do this from the entry's page; what the page then says."""
    await seen.page.get_by_role("link", name=name, exact=True).click()
    for label, text in fields.items():
        await seen.page.get_by_label(label).fill(text)
    await seen.page.get_by_role("button", name=button, exact=True).click()
    return await seen.said()


async def test_each_action_is_asked_once_said_and_in_the_audit_trail(scene: Scene) -> None:
    async with window(scene.browser, scene.address) as seen:
        await seen.sign_in()
        stray = scene.entry("order_unknown")
        await seen.page.locator(f'a[href="/entries/{stray}"]').click()
        assert await act(seen, "Add a note …", "Add the note", Note="asked") == f"Noted on entry {stray[:8]}."
        assert "Assigned" in await act(seen, "Assign …", "Assign", To="bea")
        assert "Changed the snooze" in await act(seen, "Snooze …", "Snooze")
        assert "Resolved" in await act(seen, "Resolve …", "Resolve", Reason="a phone order")
        assert "Reopened" in await act(seen, "Reopen …", "Reopen")
        await seen.page.get_by_role("link", name="Link … to order 1001").click()
        await expect(seen.page.get_by_label("Number of the order")).to_have_value("1001")
        await seen.page.get_by_role("button", name="Link", exact=True).click()
        assert "Linked" in await seen.said()
        assert "Took back" in await act(seen, "Take the link back …", "Take back")
        await seen.go("/audit")
        rows = await seen.page.locator("tbody tr td:nth-child(3)").all_inner_texts()
        assert [text.split()[0] for text in rows] == [
            "took", "linked", "reopened", "resolved", "snoozed", "assigned", "noted:",
        ]  # fmt: skip


async def test_many_are_resolved_at_once(scene: Scene) -> None:
    async with window(scene.browser, scene.address) as seen:
        await seen.sign_in()
        await seen.page.get_by_role("link", name="Select all on this page").click()
        await seen.page.get_by_role("checkbox").first.uncheck()
        await seen.page.get_by_role("button", name="Resolve the selected …").click()
        await seen.page.get_by_label("Reason").fill("settled by hand")
        await seen.page.get_by_role("button", name="Resolve 2 entries").click()
        assert await seen.said() == "Resolved 2 entries."
        await expect(seen.page.get_by_role("checkbox")).to_have_count(1)
        await seen.page.reload()
        await expect(seen.page.get_by_role("status")).to_have_count(0)


async def test_the_keyboard_alone_is_enough(scene: Scene) -> None:
    async with window(scene.browser, scene.address) as seen:
        keys = seen.page.keyboard
        await seen.go("/")
        await expect(seen.page.get_by_label("API token")).to_be_focused()
        await keys.type("the-operators-token")
        await keys.press("Enter")
        await seen.page.get_by_role("heading", name="Exceptions").wait_for()
        await keys.press("Tab")
        await expect(seen.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        await keys.press("Enter")
        for _ in range(20):
            await keys.press("Tab")
            if await seen.page.evaluate("document.activeElement.type") == "checkbox":
                break
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await seen.page.evaluate(outline) == "solid"
        await keys.press("Space")
        await keys.press("Enter")
        await expect(seen.page.get_by_label("Reason")).to_be_focused()
        await keys.type("by hand")
        await keys.press("Enter")
        assert await seen.said() == "Resolved 1 entry."


async def test_an_order_with_a_vile_name_is_only_a_name(scene: Scene) -> None:
    name = "W" * 180 + HOSTILE
    vile: dict[str, Any] = {
        "order_id": name,
        "order_refs": (name,),
        "transactions": ("pi_77",),
        "method": HOSTILE,
    }
    await scene.desk.tell(paid(10000, "pi_77"), order("partially_refunded", 900, **vile))
    async with window(scene.browser, scene.address) as seen:
        await seen.sign_in()
        for size in (DESK, PHONE):
            await seen.page.set_viewport_size({"width": size[0], "height": 2_000})
            await expect(seen.page.get_by_text("9.00\xa0GBP", exact=True).filter(visible=True)).to_be_in_viewport()
            assert await seen.barriers() == []
        await seen.page.get_by_role("link", name="<script>").filter(visible=True).click()
        assert '<script>alert("x")</script>' in await seen.page.get_by_role("heading", level=1).inner_text()
        await seen.go("/search?q=%3Cimg%20src=x%20onerror=alert(1)%3E")
        assert "<img src=x" in await seen.page.get_by_role("heading", level=1).inner_text()


async def test_a_link_from_a_board_leads_somebody_who_is_signed_in_to_the_page(scene: Scene) -> None:
    async with window(scene.browser, scene.address) as seen:
        await seen.sign_in()
        link = (
            f'<title>Board</title><a href="{scene.address}/exceptions?reason=amount_mismatch">Open in the console</a>'
        )
        await seen.page.route(
            "http://board.example/**", lambda route: route.fulfill(content_type="text/html", body=link)
        )
        await seen.page.goto("http://board.example/")
        await seen.page.get_by_role("link").click()
        await seen.page.get_by_role("heading", name="Exceptions").wait_for()
        await expect(seen.page.get_by_role("checkbox")).to_have_count(1)


async def test_a_phone_shows_what_matters_without_scrolling_sideways(scene: Scene) -> None:
    async with window(scene.browser, scene.address, PHONE) as seen:
        await seen.sign_in()
        row = seen.page.get_by_role("row").filter(has_text="Amounts differ")
        await expect(row.locator("strong")).to_have_text("3.00\xa0GBP")
        await row.locator(f'a[href="/entries/{scene.entry("amount_mismatch")}"]').click()
        await seen.page.get_by_role("link", name="Actions").click()
        await expect(seen.page.get_by_role("link", name="Resolve …")).to_be_in_viewport()


async def test_a_viewer_finds_nothing_to_press(scene: Scene) -> None:
    async with window(scene.browser, scene.address) as seen:
        await seen.sign_in(TOKENS["vic"])
        await expect(seen.page.get_by_role("checkbox")).to_have_count(0)
        await seen.go(f"/entries/{scene.entry('amount_mismatch')}")
        await expect(seen.page.locator(".actions")).to_have_count(0)
        await seen.page.get_by_role("button", name="Sign out").click()
        await expect(seen.page.get_by_label("API token")).to_be_visible()
