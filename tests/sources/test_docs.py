"""Every source has its page, and the page says what the code does."""

import re
from pathlib import Path

import pytest

from sources.registry import kinds

DOCS = Path(__file__).parents[2] / "docs" / "sources"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_page_lists_the_events_that_are_used(kind: str) -> None:
    page = (DOCS / f"{kind}.md").read_text(encoding="utf-8")
    section = page.partition("\n## Events\n")[2].partition("\n## ")[0]

    assert tuple(re.findall(r"^- `(.+)`$", section, re.MULTILINE)) == kinds()[kind].used_events


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_page_lists_every_key(kind: str) -> None:
    page = (DOCS / f"{kind}.md").read_text(encoding="utf-8")
    section = page.partition("\n## Keys\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)) == set(kinds()[kind].settings_model.model_fields)


def test_every_page_has_its_source() -> None:
    assert {page.stem for page in DOCS.glob("*.md")} == set(kinds())
