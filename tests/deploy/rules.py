"""The alerts as the rule files have them, and the programs that are needed to try them."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules"


def program(*names: str, target: str = "monitoring") -> str:
    """The path of the first of these that is installed; else the test is skipped. `target`: of make, installs it."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not on this machine: `make {target}` installs it")


def rules(file: str) -> list[dict[str, Any]]:
    """The rules of a file."""
    told = yaml.safe_load((RULES / file).read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert, by name."""
    found = [rule for file in sorted(RULES.glob("alerts-*.yml")) for rule in rules(file.name)]
    assert len({rule["alert"] for rule in found}) == len(found)
    return {rule["alert"]: rule for rule in found}
