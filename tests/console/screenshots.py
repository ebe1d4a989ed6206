"""The pictures of the README and the docs: `make screenshots` takes them anew, of the story that the demo tells."""

import asyncio
import io
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from PIL import Image
from playwright.async_api import Browser

from console.app import build
from sources.registry import load
from storage.database import open_database
from storage.journal import Journal
from tests.cli.harness import Ledger
from tests.console.browser import DESK, PHONE, chromium, serving, window
from tests.console.harness import TOKENS

Shot = tuple[str, str, tuple[int, int], Literal["light", "dark"]]


async def main(folder: Path) -> None:
    """Write the pictures into the folder."""
    with TemporaryDirectory() as temporary:
        ledger = Ledger(Path(temporary), f"sqlite:///{temporary}/ledger.db")
        await ledger.tell_the_story()
        ann = {"REFUND_LEDGER_API_TOKENS__ANN__ROLE": "operator", "REFUND_LEDGER_API_TOKENS__ANN__TOKEN": TOKENS["ann"]}
        configuration = load(ledger.toml, environ=ann)
        async with open_database(ledger.url, "console") as database, Journal(database) as journal:
            app = await build(configuration, database, journal, lambda: time.time_ns() // 1000)
            async with serving(app) as address, chromium() as browser:
                for shot in SHOTS:
                    await take(browser, address, shot, folder)


SHOTS: list[Shot] = [
    ("console-exceptions", "/exceptions", DESK, "light"),
    ("console-order", "/orders/shop/10235", DESK, "light"),
    ("console-overview", "/overview", DESK, "dark"),
    ("console-phone", "/exceptions", PHONE, "light"),
]


async def take(browser: Browser, address: str, shot: Shot, folder: Path) -> None:
    """One picture, in few colours, so that it is small."""
    name, path, size, scheme = shot
    async with window(browser, address, size, scheme) as seen:
        await seen.sign_in()
        await seen.go(path)
        picture = Image.open(io.BytesIO(await seen.page.screenshot()))
    picture.convert("RGB").quantize(128).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
