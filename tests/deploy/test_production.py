"""What a production machine gets: locked dependencies without the tools, a unit, the recipe of an image."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from config.settings import Settings
from tests.deploy.rules import DEPLOY, ROOT
from tests.e2e.house import ROLES

ANALYZE = shutil.which("systemd-analyze") or ""


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


@pytest.mark.skipif(not ANALYZE, reason="systemd is not on this machine")
@pytest.mark.parametrize("role", ROLES)
def test_systemd_accepts_the_unit_and_calls_it_well_protected(role: str, tmp_path: Path) -> None:
    told = (DEPLOY / "systemd" / "refund-ledger@.service").read_text()
    [command] = re.findall(r"^ExecStart=(\S+) %i$", told, re.MULTILINE)
    unit = tmp_path / f"refund-ledger@{role}.service"
    unit.write_text(told.replace(command, str(Path(sys.executable).with_name("refund-ledger"))))
    for check in (("verify",), ("security", "--offline=yes", "--threshold=15")):  # 15 of 100: the less the better
        done = subprocess.run((ANALYZE, "--no-pager", *check, unit), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_image_gets_every_room_and_no_more_and_does_not_run_as_root() -> None:
    recipe = (DEPLOY / "container" / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rooms = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))

    assert set(re.findall(r"^COPY (\w+)/ \1/$", recipe, re.MULTILINE)) == rooms
    assert allowed == rooms | {"LICENSE", "README.md", "pyproject.toml", "deploy/requirements.lock"}
    assert re.findall(r"^FROM [^/\s]+(?: AS build)?$", recipe, re.MULTILINE) == re.findall(
        "^FROM.*", recipe, re.MULTILINE
    )
    assert re.findall(r"^USER (.+)$", recipe, re.MULTILINE) == ["10001:10001"]


def test_the_containers_run_the_three_processes_with_settings_that_exist() -> None:
    services = yaml.safe_load((DEPLOY / "container" / "compose.yml").read_text())["services"]
    assert set(services) == set(ROLES)
    for role, service in services.items():
        assert service["command"] == role
        named = {name.removeprefix("REFUND_LEDGER_").lower() for name in service.get("environment", ())}
        assert named <= set(Settings.model_fields)
