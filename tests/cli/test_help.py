"""What the command says of itself."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import SECTIONS, cli
from tests.cli.harness import SCRIPT, run

COMMANDS = [command.name or "" for commands in SECTIONS.values() for command in commands]


def test_the_help_names_every_command() -> None:
    said = run("--help").stdout
    for name in COMMANDS:
        assert f"  {name} " in said


def test_the_help_cuts_no_explanation_short() -> None:
    assert "..." not in run("--help").stdout.replace("[ARGS]...", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    said = CliRunner().invoke(cli, [command, "--help"])
    assert said.exit_code == 0
    assert f"Usage: refund-ledger {command}" in said.output


def test_a_file_is_utf_8_and_a_terminal_gets_what_it_can_show() -> None:
    old = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([SCRIPT, "check", "--help"], env=old, capture_output=True, check=True, timeout=60)
    assert "X-Signature: 5f0c…" in done.stdout.decode()
    ours, theirs = pty.openpty()
    subprocess.run([SCRIPT, "check", "--help"], env=old, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    assert b"X-Signature: 5f0c?" in os.read(ours, 65_536)
    os.close(ours)


def test_a_command_that_does_not_exist_is_wrong_use() -> None:
    assert "No such command" in run("refund", status=2).stderr


def test_no_command_is_wrong_use_and_shows_the_help() -> None:
    assert "Look at the ledger" in run(status=2).stderr


def test_it_knows_its_version() -> None:
    assert run("--version").stdout.startswith("refund-ledger 0.")


def test_asking_for_help_loads_nothing_heavy() -> None:
    code = "import cli.main, sys; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "pydantic", "rich", "httpx", "stripe", "uvicorn", "starlette"} & set(loaded)


def test_the_procfile_starts_commands_that_exist() -> None:
    lines = (Path(__file__).parents[2] / "Procfile").read_text().splitlines()
    assert lines == [f"{name}: refund-ledger {name}" for name in ("listener", "sync", "console")]
