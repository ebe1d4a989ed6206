"""What every panel has, and the shapes that both boards are made of.

The Foundation SDK leaves out data source, refId and options where they are not set, and Grafana then draws nothing:
they are set here, for every panel.
"""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model

Query: TypeAlias = tuple[str, str]
"""PromQL, and the legend of its series."""

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
CONSOLE = "${console}/exceptions"
"""The page of the console that lists what needs a person; its filters are in the address."""

_ALL = model.VariableOption(text="All", value="$__all", selected=True)


def graph(title: str, description: str, unit: str, *queries: Query, link: str = "") -> timeseries.Panel:
    """Lines over time, half a row wide; `link` is where a click on a series leads."""
    panel = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
        .fill_opacity(10)
        .span(12)
        .height(9)
    )
    _finish(panel, title, description, unit, queries, link)
    return panel


def number(
    title: str, description: str, unit: str, query: Query, *, red_from: float | None = None, link: str = ""
) -> stat.Panel:
    """What holds now, as large figures; red from `red_from` on."""
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common_model.BigValueColorMode.VALUE)
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .span(6)
        .height(5)
    )
    steps = [model.Threshold(value=None, color="green" if red_from is not None else "text")]
    if red_from is not None:
        steps.append(model.Threshold(value=red_from, color="red"))
    panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    _finish(panel, title, description, unit, [query], link)
    return panel


def heat(title: str, description: str, unit: str, expr: str) -> heatmap.Panel:
    """The buckets of a histogram over time."""
    panel = heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit(unit)).span(12).height(9)
    _finish(panel, title, description, unit, [(expr, "{{le}}")], "")
    return panel


def _finish(
    panel: timeseries.Panel | stat.Panel | heatmap.Panel,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    link: str,
) -> None:
    panel.title(title).description(description).unit(unit).datasource(SOURCE)
    for letter, (expr, legend) in zip("ABCDEF", queries, strict=False):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter).datasource(SOURCE)
        shape = "HEATMAP" if isinstance(panel, heatmap.Panel) else "TIME_SERIES"
        panel.with_target(query.format(prometheus_model.PromQueryFormat[shape]).range())
    if link:
        panel.data_links([dashboard.DashboardLink("Open in the console").url(link).target_blank(True)])


def board(uid: str, title: str, description: str, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """A dashboard of these rows of panels, as it is written to JSON."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["refund-ledger"])
        .time("now-7d", "now")
        .timezone("browser")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Refund Ledger")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["refund-ledger"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_values("source", "label_values(refund_ledger_webhooks_total, source)"))
        .with_variable(_values("currency", 'label_values({__name__=~"refund_ledger_(un)?matched_amount.*"}, currency)'))
        .with_variable(dashboard.TextBoxVariable("console").label("Console").default_value("http://127.0.0.1:8082"))
    )
    numbers = count(1)
    for name, panels in rows.items():
        made.with_row(dashboard.Row(name).id(next(numbers)))
        for panel in panels:
            made.with_panel(panel.id(next(numbers)))
    return _plain(made.build())


def _values(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(_ALL)
    )


def _plain(built: model.Dashboard) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(built))
    return plain
