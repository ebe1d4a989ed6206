"""`refund-ledger init`."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from sources.registry import load
from tests.cli.harness import run


def test_it_writes_a_configuration_that_is_valid_and_private(tmp_path: Path) -> None:
    said = run("init", cwd=tmp_path).stdout
    file = tmp_path / "refund-ledger.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    configuration = load(file, environ={})
    assert set(configuration.sources) == {"stripe", "shop"}
    assert "refund-ledger.toml" in said
    assert f"http://{configuration.settings.console_bind}" in said
    assert list(configuration.settings.api_tokens) == ["ops"]
    assert "[api_tokens.ops]" in said


@pytest.mark.parametrize("options", [(), ("--config", "my shop.toml")])
def test_the_check_that_it_tells_to_run_can_be_typed_as_it_stands(tmp_path: Path, options: tuple[str, ...]) -> None:
    said = run(*options, "init", cwd=tmp_path).stdout
    (told,) = re.findall(r"3\. (.* check)$", said, re.MULTILINE)
    done = subprocess.run(told, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "Source stripe" in done.stdout


def test_its_secrets_are_fresh_and_not_shown(tmp_path: Path) -> None:
    said = [run("--config", str(tmp_path / name), "init").stdout for name in ("one.toml", "two.toml")]
    files = [tomllib.loads((tmp_path / name).read_text()) for name in ("one.toml", "two.toml")]
    tokens = [file["api_tokens"]["ops"]["token"] for file in files]
    assert tokens[0] != tokens[1]
    assert not any(token in text for token in tokens for text in said)


@pytest.mark.parametrize(("options", "status"), [((), 1), (("--if-missing",), 0)])
def test_it_never_overwrites(tmp_path: Path, options: tuple[str, ...], status: int) -> None:
    file = tmp_path / "refund-ledger.toml"
    file.write_text("# mine")
    done = run("init", *options, cwd=tmp_path, status=status)
    assert file.read_text() == "# mine"
    assert ("stays as it is" in done.stderr) is bool(status)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = run("--config", str(tmp_path / "nowhere" / "x.toml"), "init", status=1).stderr
    assert "No such file or directory" in said
    assert len(said.splitlines()) == 1
