"""Panels of one kind each: a number, bars, a graph, a timeline of states.

Every panel has a title, a description, a unit, and a text for the case without data. If a panel may be empty, a
sentence of its description begins with "Empty".
"""

from collections.abc import Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, statetimeline, timeseries
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, FieldColorModeId

from monitoring.dashboards.source.colors import PLAIN, States, Steps, mapping, thresholds

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

POINTS = 300
"""The points of a line. Grafana's own number is the panel's width in pixels."""
FEW_POINTS = 100
"""The points of a line that Prometheus chooses among a series for each guest."""

Series = Sequence[tuple[str, str]]
"""Queries, and the names of their series in the legend."""

Panel = TypeVar("Panel", stats.Panel, bargauge.Panel, timeseries.Panel, statetimeline.Panel)


def url(uid: str, **variables: str) -> str:
    """Return the URL of a dashboard, by UID. It keeps source, sites and time range, and sets these variables."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    kept = "var-datasource=${datasource}&${site_label:queryparam}&${site:queryparam}"
    return f"/d/{uid}?{kept}{chosen}&${{__url_time_range}}"


def of_series(uid: str, *labels: str) -> dashboard.DashboardLink:
    """Return a link from a series to the dashboard with that UID. The series' labels set its variables."""
    variables = {label: f"${{__field.labels.{label}:percentencode}}" for label in labels}
    return dashboard.DashboardLink(f"Open {uid}").url(url(uid, **variables))


def last(selector: str) -> str:
    """Return each series' last value in the time range, even if it has none at the end."""
    return f"last_over_time({selector}[$__range] @ end())"


def latest(selector: str) -> str:
    """Return each series' last value. It reads less than `last`, and is for metrics with a series for each guest."""
    return f"last_over_time({selector}[2h] @ end())"


def steady(number: int, expr: str, rank: str) -> str:
    """Return the series of `expr` that are first by `rank`, which has the same result at each time of the range.

    `topk` alone selects other series at each step, so lines would be in pieces.
    """
    return f"{expr} and topk({number}, {rank})"


def query(expr: str, legend: str, ref: str) -> prometheus.Dataquery:
    """Return a query over the time range."""
    return prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format(legend).ref_id(ref).range()


def _finish(
    panel: Panel,
    texts: tuple[str, str, str, str],
    steps: Steps,
    links: Sequence[dashboard.DashboardLink],
) -> Panel:
    title, description, unit, empty = texts
    panel.title(title).description(description).unit(unit).no_value(empty).datasource(SOURCE)
    panel.thresholds(dashboard.ThresholdsConfig().steps(thresholds(steps)))
    return panel.data_links(list(links)) if links else panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    empty: str,
    legend: str = "",
    named: bool = False,
    steps: Steps = PLAIN,
    states: States | None = None,
    links: Sequence[dashboard.DashboardLink] = (),
) -> stats.Panel:
    """Return a panel with a large number for each series: its newest value, or its name if it is `named`."""
    target = prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format(legend or title).ref_id("A").instant()
    panel = _finish(stats.Panel(), (title, description, unit, empty), steps, links).with_target(target)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    panel.color_mode(BigValueColorMode.VALUE).graph_mode(BigValueGraphMode.NONE)
    panel.text_mode(BigValueTextMode.NAME if named else BigValueTextMode.VALUE)
    return panel.mappings([mapping(states)]) if states else panel


def bars(
    title: str,
    description: str,
    unit: str,
    expr: str,
    legend: str,
    *,
    empty: str,
    steps: Steps = PLAIN,
    most: float | None = None,
    links: Sequence[dashboard.DashboardLink] = (),
) -> bargauge.Panel:
    """Return a panel with a bar for each series, the longest first. `expr` must sort."""
    target = prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format(legend).ref_id("A").instant()
    panel = _finish(bargauge.Panel(), (title, description, unit, empty), steps, links).with_target(target)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    panel.orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC).min(0)
    return panel.max(most) if most is not None else panel


def graph(
    title: str,
    description: str,
    unit: str,
    series: Series,
    *,
    empty: str,
    steps: Steps | None = None,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    links: Sequence[dashboard.DashboardLink] = (),
    points: int = POINTS,
) -> timeseries.Panel:
    """Return a panel with lines over time. `steps` are dashed lines."""
    panel = _finish(timeseries.Panel(), (title, description, unit, empty), steps or PLAIN, links)
    for index, (expr, legend) in enumerate(series):
        panel.with_target(query(expr, legend, chr(ord("A") + index)))
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.max_data_points(points).line_width(1).fill_opacity(40 if stacked else 5).show_points(VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .calcs(["lastNotNull"]),
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    if stacked:
        panel.draw_style(GraphDrawStyle.LINE).stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if least is not None:
        panel.min(least)
    return panel.max(most) if most is not None else panel


def timeline(
    title: str,
    description: str,
    expr: str,
    legend: str,
    states: States,
    *,
    empty: str,
    links: Sequence[dashboard.DashboardLink] = (),
) -> statetimeline.Panel:
    """Return a panel with a band for each series, colored by its state."""
    panel = _finish(statetimeline.Panel(), (title, description, "none", empty), PLAIN, links)
    panel.with_target(query(expr, legend, "A")).mappings([mapping(states)])
    panel.max_data_points(POINTS).show_value(VisibilityMode.NEVER).merge_values(merge_values=True).row_height(
        0.8
    ).fill_opacity(80)
    return panel.legend(
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .calcs([]),
    )
