"""The page of the configuration says what the settings are."""

import re
from pathlib import Path

from config.settings import Settings
from config.values import Bind

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_page_lists_every_key() -> None:
    keys = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    tables = re.findall(r"`\[(\w+)[.\]]", PAGE)
    assert sorted(keys + tables) == sorted(Settings.model_fields)


def test_the_page_tells_every_default() -> None:
    told = dict(re.findall(r'^\| `(\w+)` \| `"([^"]*)"` \|', PAGE, re.MULTILINE))
    defaults = {key: field.default for key, field in Settings.model_fields.items()}
    assert told == {key: str(value) for key, value in defaults.items() if isinstance(value, str | Bind)}
