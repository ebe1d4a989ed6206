"""Every alert has a page that says what to do, in commands that exist."""

import re
import shlex

import click
import pytest

from cli.main import cli
from tests.deploy.rules import ROOT, alerts

PAGES = ROOT / "docs" / "runbooks"
SECTIONS = ["Impact", "How to see it", "What to do", "How to prove that it is over"]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_a_page_has_everything_and_its_links_lead_somewhere(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if not (PAGES / link).exists()] == []


def commands() -> set[str]:
    """Every command of ours in a block or in backquotes of a page, and at the end of an alert's description."""
    found: set[str] = set()
    for page in (*PAGES.glob("*.md"), ROOT / "docs" / "monitoring.md"):
        found |= set(re.findall(r"^(?:\S*/)?refund-ledger ([^|>#\n]+)", page.read_text(), re.MULTILINE))
        found |= set(re.findall(r"`refund-ledger ([^`\n]+)`", page.read_text()))
    for rule in alerts().values():
        if told := re.search(r"refund-ledger ([a-z].*)$", rule["annotations"]["description"]):
            found.add(re.sub(r"\{\{ \$labels\.(\w+) \}\}", "missing_in_gateway", told[1]).partition(",")[0])
    return {line.strip() for line in found}


@pytest.mark.parametrize("line", sorted(commands()))
def test_a_command_on_a_page_exists_with_its_options(line: str) -> None:
    arguments = shlex.split(line)
    command: click.Command = cli
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        assert name in command.commands
        command = command.commands[name]
    try:
        command.make_context(line, arguments)
    except click.MissingParameter:
        assert not arguments  # it is only named


def test_there_are_commands_to_try() -> None:
    assert len(commands()) > 20
