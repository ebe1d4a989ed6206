"""The console in Chromium: served on a port of this machine, looked at as people look at it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright
from starlette.types import ASGIApp

from tests.console.harness import TOKENS
from tests.deploy.rules import program

DESK = (1280, 860)
PHONE = (390, 780)


class _Server(uvicorn.Server):
    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        """Signals are for the test runner."""
        return nullcontext()


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The application on a port of its own, in this loop: its address, without a slash at its end."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        server = _Server(config)
        running = asyncio.create_task(server.serve([door]))
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser; where there is none, the test is skipped."""
    path = program("chromium", "chromium-browser", "google-chrome", target="browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Window:
    """One window of the browser, and everything in it that went wrong."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self._asked(request.url))

    async def go(self, path: str) -> None:
        """Open the page."""
        await self.page.goto(self.address + path)

    async def sign_in(self, token: str = TOKENS["ann"]) -> None:
        """With this token."""
        await self.go("/signin")
        await self.page.get_by_label("API token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Exceptions").wait_for()

    async def said(self) -> str:
        """What the last action did."""
        return await self.page.get_by_role("status").first.inner_text()

    async def barriers(self) -> list[str]:
        """What axe finds that keeps people out; and whether the page is wider than the window."""
        found = (await Axe().run(self.page)).response["violations"]
        told = [f"{one['id']}: {[node['html'] for node in one['nodes'][:3]]}" for one in found]
        wide = await self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return [*told, "it is wider than the window"] if wide else told

    def _heard(self, message: ConsoleMessage) -> None:
        # Chromium would like a name beside the token; there is none.
        if message.type in ("error", "warning") and "username fields" not in message.text:
            self.faults.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "http://board.example")):
            self.faults.append(f"asked for {url}")


@asynccontextmanager
async def window(
    browser: Browser, address: str, size: tuple[int, int] = DESK, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Window]:
    """A window of its own, without cookies; nothing may have gone wrong in it."""
    viewport: Any = dict(zip(("width", "height"), size, strict=True))
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    opened = Window(await context.new_page(), address)
    yield opened
    await context.close()
    assert opened.faults == []
