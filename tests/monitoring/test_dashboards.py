import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.monitoring.demo_pbs import BARE, DEMO, SECOND
from tests.monitoring.demo_prometheus import demo_prometheus, exporters, hurried_rules, write_past
from tests.monitoring.expressions import expression_faults, longest_range
from tests.monitoring.grafana import (
    ALL,
    FOLDER,
    OPTIONAL,
    Panel,
    Variable,
    asked,
    dashboards,
    panels,
    put_in,
    seconds,
    step_of,
    values_of,
    variables,
)
from tests.monitoring.metric_labels import with_rules
from tests.monitoring.rule_files import RULE_FILES
from tests.monitoring.servers import Prometheus, Series
from tests.support.commands import run
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

BOARDS = dashboards()
DECLARED = {name: labels | {"site"} for name, labels in with_rules(RULE_FILES).items()}
UIDS = {
    "pbs-overview",
    "pbs-datastore",
    "pbs-backups",
    "pbs-jobs-tasks",
    "pbs-host-exporter",
    "pbs-fleet-growth",
}

Chosen = Mapping[str, tuple[Variable, Sequence[str], Sequence[str]]]


class Query(NamedTuple):
    """A panel's query, as Grafana sends it."""

    panel: Panel
    expr: str
    instant: bool


def says_why_empty(panel: Panel) -> bool:
    """Whether a sentence of the panel's description begins with "Empty"."""
    sentences = panel["description"].split(". ")
    return any(sentence.startswith("Empty ") for sentence in sentences)


def queries(uid: str, chosen: Chosen) -> Iterator[Query]:
    """Yield the queries of a dashboard's panels, with the chosen values of its variables."""
    span = seconds(BOARDS[uid]["time"]["from"])
    for panel in panels(BOARDS[uid]):
        step = step_of(BOARDS[uid], panel)
        for target in panel["targets"]:
            expr = put_in(target["expr"], chosen, span=span, step=step, scrape_interval=3)
            yield Query(panel, expr, bool(target.get("instant")))


def blindly(uid: str) -> Chosen:
    """Choose values without asking Prometheus."""
    return {variable.name: (variable, ["a.b", "c"][: 1 + variable.multi], []) for variable in variables(BOARDS[uid])}


def every_expression() -> dict[str, str]:
    """Return all expressions of panels and variables, each by a name."""
    found = {}
    for uid in BOARDS:
        for number, query in enumerate(queries(uid, blindly(uid))):
            found[f"{uid} {query.panel['title']} {number}"] = query.expr
        for variable in variables(BOARDS[uid]):
            put = put_in(variable.query, blindly(uid), span=60, step=1, scrape_interval=3)
            found[f"{uid} ${variable.name}"] = asked(put)
    return found


class Demo:
    """A Prometheus in front of the demo, and what can be chosen there."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus

    def options(self, uid: str, **values: Sequence[str]) -> Chosen:
        """Query each variable's options in order, as Grafana does, and choose these values, or all."""
        chosen: dict[str, tuple[Variable, Sequence[str], Sequence[str]]] = {}
        for variable in variables(BOARDS[uid]):
            query = put_in(variable.query, chosen, span=60, step=1, scrape_interval=3)
            results = [result["metric"] for result in self.prometheus.instant(asked(query))]
            options = values_of(query, variable.regex, results)
            choice = values.get(variable.name) or ([ALL] if variable.multi else options[:1])
            chosen[variable.name] = (variable, choice, options)
        return chosen

    def answer(self, uid: str, query: Query) -> Series:
        """Send a query as its panel does."""
        now = time.time()
        if query.instant:
            return self.prometheus.instant(query.expr, now)
        span = seconds(BOARDS[uid]["time"]["from"])
        return self.prometheus.range(query.expr, start=now - span, end=now, step=step_of(BOARDS[uid], query.panel))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run Prometheus with the rules and a past, in front of the demo and two more simulated PBS."""
    folder = tmp_path_factory.mktemp("demo")
    now = time.time()
    # A week to show, and the week before it, for the forecasts.
    week = now - 7.2 * 86400
    write_past(folder, (DEMO, SECOND), start=now - 14.5 * 86400, end=week - 1, step=21600)
    write_past(folder, (DEMO, SECOND), start=week, end=now, step=7200)
    rules = hurried_rules(folder)
    with exporters(folder) as ports, demo_prometheus(folder, rules=rules, targets=ports) as running:
        poll(lambda: len(running.instant("pbs_up == 1")) == len(ports), "all PBS are up", seconds=60)
        # A rate needs two samples, and a rule that reads recorded series needs a few evaluations.
        enough = "min(count_over_time(pbs_up[1m])) > 4 and min(count_over_time(pbs_gc_status[1m])) > 4"
        poll(lambda: running.instant(enough), "some scrapes", seconds=90)
        yield Demo(running)


def test_all_dashboards_are_there() -> None:
    """There are six dashboards."""
    assert set(BOARDS) == UIDS


def test_json_is_what_the_source_makes(tmp_path: Path) -> None:
    """The dashboards in the repository are exactly what `make dashboards` writes."""
    command = [sys.executable, "-m", "tools.render_dashboards", str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)  # noqa: S603 - nothing from outside
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.json")}
    there = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.json")}
    assert made == there, "run `make dashboards`"


@pytest.mark.parametrize(("name", "expr"), every_expression().items())
def test_names_exist(name: str, expr: str) -> None:
    """Every metric and label in a panel or a variable comes from the code, Prometheus or the rules."""
    assert expression_faults(expr, DECLARED) == [], name


@pytest.mark.parametrize(("name", "expr"), every_expression().items())
def test_ranges_are_short_where_series_are_many(name: str, expr: str) -> None:
    """No query reads more than two hours before each point of a metric with a series for each guest."""
    many = {metric for metric, labels in DECLARED.items() if labels & {"backup_id", "worker_id"}}
    assert longest_range(expr, many - {"ALERTS", "ALERTS_FOR_STATE"}) <= timedelta(hours=2), name


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_the_label_of_sites_is_a_choice(uid: str) -> None:
    """What is written into the text box names the label that matchers, sums and joins use."""
    declared = {name: labels | {"team"} for name, labels in with_rules(RULE_FILES).items()}
    board = dashboards(site_label="team")[uid]
    exprs = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    exprs += [asked(variable.query) for variable in variables(board)]
    for expr in exprs:
        assert expression_faults(put_in(expr, blindly(uid), span=60, step=1, scrape_interval=3), declared) == []
    assert any('team=~"$site"' in expr for expr in exprs)


def test_guests_have_their_names() -> None:
    """Where a guest's ID is, its name is too: in each table's columns and each graph's legend."""
    found = 0
    for board in (BOARDS | dashboards(OPTIONAL)).values():
        for panel in panels(board):
            if panel["type"] == "table":
                (organize,) = (part["options"] for part in panel["transformations"] if part["id"] == "organize")
                shown = set(organize["renameByName"].values())
                assert "ID" not in shown or "Name" in shown, panel["title"]
                found += "ID" in shown
            for target in panel["targets"]:
                legend = target.get("legendFormat", "")
                assert "{{backup_id}}" not in legend or "{{comment}}" in legend, panel["title"]
                found += "{{backup_id}}" in legend
    assert found > 4


@pytest.mark.parametrize("promtool", [oldest("promtool"), newest("promtool")], ids=["2.42", "3.5"])
def test_expressions_are_understood(promtool: Path, tmp_path: Path) -> None:
    """The oldest and the newest Prometheus understand every query."""
    rules = [{"record": "query", "expr": expr, "labels": {"of": name}} for name, expr in every_expression().items()]
    assert len(rules) > 100
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", "--lint=none", file)


def test_exporters_that_are_down_are_counted(tmp_path: Path) -> None:
    """An exporter that is down counts as a PBS that doesn't answer. A target of another job doesn't count."""
    put = {one.name: (one, [ALL], ["a", "b", "c"]) for one in variables(BOARDS["pbs-overview"])}
    (expr,) = (query.expr for query in queries("pbs-overview", put) if query.panel["title"] == "PBS not answering")
    series = {
        'up{job="pbs", instance="a"}': "1x9 0x9",
        'up{job="pbs", instance="b"}': "1x19",
        'up{job="pbs", instance="c"}': "1x19",
        'up{job="node", instance="c"}': "0x19",
        'pbs_up{job="pbs", instance="a"}': "1x9 stale",
        'pbs_up{job="pbs", instance="b"}': "1x14 0x4",
        'pbs_up{job="pbs", instance="c"}': "1x19",
    }
    tests = [
        {"expr": expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": down}]}
        for at, down in (("5m", 0), ("12m", 1), ("17m", 2))
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    content = {"tests": [{"interval": "1m", "input_series": given, "promql_expr_test": tests}]}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(content))
    for promtool in (oldest("promtool"), newest("promtool")):
        run(promtool, "test", "rules", file)


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_each_query_has_data(uid: str, demo: Demo) -> None:
    """With all options chosen, every query of every panel has data, or the panel says why it may be empty."""
    chosen = demo.options(uid)
    wrong = [
        f"{query.panel['title']}: {query.expr}"
        for query in queries(uid, chosen)
        if not demo.answer(uid, query) and not says_why_empty(query.panel)
    ]
    assert wrong == []


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_empty_panels_are_empty(uid: str, demo: Demo) -> None:
    """A panel that says when it is empty has no data for a PBS without failures and without such objects."""
    chosen = demo.options(uid, instance=[BARE])
    wrong = [
        f"{query.panel['title']}: {query.expr}"
        for query in queries(uid, chosen)
        if says_why_empty(query.panel) and demo.answer(uid, query)
    ]
    assert wrong == []


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_choices_narrow(uid: str, demo: Demo) -> None:
    """With one PBS chosen, no other is shown. Several values of each variable can be chosen."""
    for query in queries(uid, demo.options(uid, instance=[SECOND])):
        instances = {result["metric"].get("instance") for result in demo.answer(uid, query)}
        assert instances <= {SECOND, None}, query.expr
    options = {name: list(found) for name, (_, _, found) in demo.options(uid).items()}
    several = {name: values[:2] for name, values in options.items() if name != "instance"}
    for query in queries(uid, demo.options(uid, **several)):
        assert demo.answer(uid, query) is not None


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_variables_have_options(uid: str, demo: Demo) -> None:
    """Every variable's query returns options."""
    assert {name: bool(options) for name, (_, _, options) in demo.options(uid).items()} == {
        variable.name: True for variable in variables(BOARDS[uid])
    }


def test_the_root_namespace_can_be_chosen(demo: Demo) -> None:
    """The option for the root namespace chooses the groups without a namespace label, alone and with others."""
    chosen = demo.options("pbs-backups", instance=[DEMO])
    options = chosen["namespace"][2]
    assert "/?" in options
    counts = {}
    for values in (["/?"], ["prod"], ["/?", "prod"]):
        chosen = demo.options("pbs-backups", instance=[DEMO], namespace=values)
        (count,) = (
            query
            for query in queries("pbs-backups", chosen)
            if query.panel["title"] == "Groups" and query.instant and query.expr.startswith("count(")
        )
        ((result),) = demo.answer("pbs-backups", count)
        counts[tuple(values)] = float(result["value"][1])
    assert counts["/?",] > 0
    assert counts["/?", "prod"] == counts["/?",] + counts["prod",]


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_rows_of_tables_are_told_apart(uid: str, demo: Demo) -> None:
    """In a table of several queries, their shared labels identify a row: no query has two values for one row."""
    chosen = demo.options(uid)
    answers: dict[int, list[Series]] = {}
    for query in queries(uid, chosen):
        if query.panel["type"] == "table":
            answers.setdefault(query.panel["id"], []).append(demo.answer(uid, query))
    for several in answers.values():
        filled = [series for series in several if series]
        if len(filled) > 1:
            shared = set.intersection(*(names(series) for series in filled))
            for series in filled:
                rows = [tuple(result["metric"].get(name) for name in sorted(shared)) for result in series]
                assert len(set(rows)) == len(rows)


def names(series: Series) -> set[str]:
    """Return the labels that every series has: Grafana joins rows by them."""
    return set.intersection(*(set(result["metric"]) for result in series))


def test_what_needs_attention_has_a_column_for_each_label() -> None:
    """Each label that an alert can have is a column with a heading, or explicitly excluded."""
    (panel,) = (one for one in panels(BOARDS["pbs-overview"]) if one["title"] == "What needs attention")
    (organize,) = (part["options"] for part in panel["transformations"] if part["id"] == "organize")
    of_alerts = DECLARED["ALERTS"] - {"alertstate", "severity"}
    assert of_alerts - set(organize["renameByName"]) - set(organize["excludeByName"]) == set()


def test_links_of_tables_name_columns() -> None:
    """A cell's link takes its variables from existing columns of its table."""
    for board in BOARDS.values():
        for panel in panels(board):
            for override in panel.get("fieldConfig", {}).get("overrides", ()):
                check_links(panel, override)


def check_links(panel: Panel, override: Mapping[str, Any]) -> None:
    (organize,) = (part["options"] for part in panel["transformations"] if part["id"] == "organize")
    headings = set(organize["renameByName"].values())
    for property_ in override["properties"]:
        if property_["id"] == "links":
            assert override["matcher"]["options"] in headings
            fields = [
                part.split(":")[0] for link in property_["value"] for part in link["url"].split("${__data.fields.")[1:]
            ]
            assert set(fields) <= headings, panel["title"]
