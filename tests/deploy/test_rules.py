"""Every alert fires when it should and keeps quiet when it should; it says what is wrong and where to read on."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from console.exceptions import FILTERS
from storage.exceptions import ORDERS
from tests.deploy.cases import CASES, Case
from tests.deploy.rules import DEPLOY, RULES, alerts, program, rules

EXTERNAL = {
    "grafana": "https://grafana.example.com",
    "console": "https://refunds.example.com",
    "runbooks": "https://docs.example.com/runbooks",
}
ORDER = [f"refund-ledger-{group}" for group in ("thresholds", "recording", "refunds", "pipeline")]
"""What is read, before who reads it; else promtool takes the groups in any order."""


def run(*command: str | Path) -> str:
    """What the program says; it must be content."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configurations_are_valid() -> None:
    run(program("promtool"), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    run(program("amtool"), "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize("step", [1, 10])
def test_every_alert_fires_when_it_should_and_keeps_quiet_when_it_should(tmp_path: Path, step: int) -> None:
    """Those that look at hours are evaluated every ten minutes: every minute takes promtool a while."""
    told = {
        "rule_files": [str(file) for file in RULES.glob("*.yml")],
        "group_eval_order": ORDER,
        "evaluation_interval": f"{step}m",
        "tests": [_test(case) for case in CASES if (case.minutes > 60) == (step > 1)],
    }
    (tmp_path / "tests.yml").write_text(json.dumps(told))  # JSON is YAML
    run(program("promtool"), "test", "rules", tmp_path / "tests.yml")


def _test(case: Case) -> dict[str, Any]:
    rule = alerts()[case.alert]
    expected = [
        {"exp_labels": labels | rule["labels"], "exp_annotations": _annotations(rule, labels) | {"summary": summary}}
        for labels, summary in case.fires
    ]
    return {
        "interval": "1m",
        "external_labels": EXTERNAL,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": expected},
        ],
    }


def _annotations(rule: dict[str, Any], labels: dict[str, str]) -> dict[str, str]:
    """Those of the rule, with the labels in their places."""
    values = {f"$labels.{name}": value for name, value in labels.items()}
    values |= {f"$externalLabels.{name}": value for name, value in EXTERNAL.items()}

    def filled(text: str) -> str:
        return re.sub(r"\{\{ (\S+) \}\}", lambda found: values[found[1]], text)

    return {name: filled(text) for name, text in rule["annotations"].items() if name != "summary"}


def test_every_alert_is_tried_firing_and_not_firing() -> None:
    assert {case.alert for case in CASES if case.fires} == set(alerts())
    assert {case.alert for case in CASES if not case.fires} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_urgent_it_is_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) - {"console_url"} == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{name}.md"
    boards = {json.loads(file.read_text())["uid"] for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    assert re.findall(r"/d/([a-z-]+)", rule["annotations"]["dashboard_url"])[0] in boards


def test_an_alert_about_refunds_leads_to_them_in_the_console() -> None:
    for rule in rules("alerts-refunds.yml"):
        shown = rule["annotations"]["console_url"].removeprefix("{{ $externalLabels.console }}")
        path, _, query = shown.partition("?")
        assert path in {"/exceptions", "/overview"}
        for name, value in parse_qsl(query):
            assert name in FILTERS
            assert value in {f"{{{{ $labels.{name} }}}}", *ORDERS}


def test_every_threshold_is_used_and_every_one_used_is_there() -> None:
    named = {rule["record"] for rule in rules("thresholds.yml")}
    used = {name for rule in alerts().values() for name in re.findall(r"refund_ledger:threshold:\w+", rule["expr"])}
    assert used == named


def test_an_alert_compares_with_a_threshold_or_with_nothing() -> None:
    for name, rule in alerts().items():
        plain = {number for _, number in re.findall(r"([<>=]=?) (\d+)", rule["expr"])}
        assert plain <= {"0"}, name
