"""What a production machine gets: locked dependencies without the tools, units that systemd accepts, an image recipe."""

import re
import tomllib

from tests.deploy.rules import ROOT


def locked(file: str) -> dict[str, str]:
    """Each pinned package with its version, markers and hashes."""
    blocks = re.split(r"^(?=\S)", (ROOT / file).read_text(), flags=re.MULTILINE)
    return {re.split(r"\W*==", block)[0]: block for block in blocks if block}


def test_a_production_machine_installs_what_was_tested_and_none_of_the_tools() -> None:
    tested, installed = locked("requirements.lock"), locked("deploy/requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["project"]["dependencies"] + project["dependency-groups"]["build"]
    assert {re.split(r"[\[><=]", name)[0] for name in needed} <= installed.keys()
    for name, block in installed.items():
        assert block == tested[name], "run `make lock`"
    assert not installed.keys() & {"pytest", "mypy", "ruff", "uv", "coverage"}
