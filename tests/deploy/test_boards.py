"""The boards are what their code makes, and nothing is left out that Grafana needs to draw them."""

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.ingest import ingest
from deploy.grafana.refunds import refunds
from tests.deploy.rules import DEPLOY

Json = dict[str, Any]
MADE = {"refunds": refunds, "ingest": ingest}
BOARDS = {file.stem: json.loads(file.read_text()) for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in sorted(BOARDS.items())
    for panel in board["panels"]
    if panel["type"] != "row"
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_the_committed_boards_are_what_the_code_makes() -> None:
    assert {name: make() for name, make in MADE.items()} == BOARDS, "run `make boards`"


@pytest.mark.parametrize("name", MADE)
def test_a_board_is_of_the_schema_of_grafana_11(name: str) -> None:
    board = BOARDS[name]
    assert board["schemaVersion"] == 41
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(board))) == board
    assert {v["name"] for v in board["templating"]["list"]} == {"datasource", "source", "currency", "console"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_what_grafana_needs_and_says_what_it_shows(panel: Json) -> None:
    assert panel["datasource"] == SOURCE
    assert panel["options"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert [query["refId"] for query in panel["targets"]] == list("ABCDEF")[: len(panel["targets"])]
    assert all(query["datasource"] == SOURCE and query["expr"] for query in panel["targets"])


@pytest.mark.parametrize("panel", PANELS)
def test_a_link_names_only_labels_that_the_series_have(panel: Json) -> None:
    for link in panel["fieldConfig"]["defaults"].get("links", []):
        assert link["url"].startswith("${console}/exceptions")
        labels = set(re.findall(r"\$\{__field\.labels\.(\w+)\}", link["url"]))
        assert all(labels <= set(re.findall(r"\w+", query["legendFormat"])) for query in panel["targets"])
