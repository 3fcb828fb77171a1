"""Tables: a row for each object, and a column for each query."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue, ThresholdsConfig
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.source.colors import PLAIN, States, Steps, mapping, thresholds
from monitoring.dashboards.source.panels import SOURCE, url

BACKGROUND = {"type": "color-background", "mode": "basic"}
GAUGE = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


class Column(NamedTuple):
    """A column with the value of an expression, one series for each row."""

    heading: str
    expr: str
    unit: str = "none"
    steps: Steps | None = None
    states: States | None = None
    gauge: bool = False
    """Whether the column is drawn as a bar from 0 to 1."""
    width: int = 0
    """In pixels. 0 shares the space equally."""


class Text(NamedTuple):
    """Columns with the labels of an expression's series, instead of their value."""

    headings: Mapping[str, str]
    """The heading of each label's column."""
    expr: str
    states: States | None = None


def table(
    title: str,
    description: str,
    keys: Mapping[str, str],
    columns: Sequence[Column | Text],
    *,
    empty: str,
    sort: str,
    descending: bool = True,
    links: Mapping[str, tuple[str, Mapping[str, str]]] | None = None,
    hide: Sequence[str] = (),
    states: Mapping[str, States] | None = None,
    filters: bool = False,
) -> tables.Panel:
    """Return a table.

    `keys` are the labels that identify a row, with their headings. Each expression must have them. `links` has, by
    heading, the UID that a cell leads to, and the column that each variable is set from. `hide` are labels without a
    column. `states` has the names of the keys' values, by heading. With `filters`, each heading has a filter.

    A table of several PBS has a column for their site. If that label isn't called `site`, the column comes last.
    """
    if "instance" in keys:
        keys = {"site": "Site", **keys}
    panel = tables.Panel().title(title).description(description).unit("none").no_value(empty).datasource(SOURCE)
    panel.thresholds(dashboard.ThresholdsConfig().steps(thresholds(PLAIN)))
    panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(desc=descending)])
    headings, hidden = dict(keys), {"Time", *hide}
    for index, column in enumerate(columns):
        ref = chr(ord("A") + index)
        value = f"Value #{ref}" if len(columns) > 1 else "Value"
        target = prometheus.Dataquery().datasource(SOURCE).expr(column.expr).ref_id(ref).instant()
        panel.with_target(target.format(PromQueryFormat.TABLE))
        if isinstance(column, Column):
            headings[value] = column.heading
        else:
            headings |= column.headings
            hidden.add(value)
        _override(panel, column)
    if len(columns) > 1:
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    _arrange(panel, headings, hidden)
    if filters:
        panel.override_by_regexp(".*", [DynamicConfigValue("custom.filterable", value=True)])
    for heading, known in (states or {}).items():
        panel.override_by_name(heading, _colored(known))
    for heading, (uid, variables) in (links or {}).items():
        chosen = {name: f"${{__data.fields.{field}:percentencode}}" for name, field in variables.items()}
        cell_link = {"title": f"Open {uid}", "url": url(uid, **chosen)}
        panel.override_by_name(heading, [DynamicConfigValue("links", [cell_link])])
    return panel


def _arrange(panel: tables.Panel, headings: Mapping[str, str], hidden: set[str]) -> None:
    options: dict[str, object] = {
        "excludeByName": dict.fromkeys(sorted(hidden), True),
        "indexByName": {name: index for index, name in enumerate(headings)},
        "renameByName": dict(headings),
    }
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))


def _override(panel: tables.Panel, column: Column | Text) -> None:
    properties = _colored(column.states) if column.states else []
    if isinstance(column, Text):
        for heading in column.headings.values() if properties else ():
            panel.override_by_name(heading, properties)
        return
    properties.insert(0, DynamicConfigValue("unit", column.unit))
    if column.steps:
        config = ThresholdsConfig(steps=thresholds(column.steps))
        properties.append(DynamicConfigValue("thresholds", config))
    if column.gauge:
        properties += [DynamicConfigValue("min", 0), DynamicConfigValue("max", 1)]
        properties.append(DynamicConfigValue("custom.cellOptions", GAUGE))
    elif column.steps:
        properties.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    if column.width:
        properties.append(DynamicConfigValue("custom.width", column.width))
    panel.override_by_name(column.heading, properties)


def _colored(states: States) -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue("mappings", [mapping(states)]),
        DynamicConfigValue("custom.cellOptions", BACKGROUND),
    ]
