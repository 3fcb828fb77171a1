import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "tools" / "lint_dashboards.py"

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PANEL = {
    "id": 1,
    "type": "stat",
    "title": "Used",
    "description": "How full it is.",
    "datasource": SOURCE,
    "gridPos": {"x": 0, "y": 0, "w": 12, "h": 4},
    "fieldConfig": {"defaults": {"unit": "bytes", "noValue": "nothing", "thresholds": {"steps": [{"color": "green"}]}}},
    "targets": [{"refId": "A", "expr": 'used{instance=~"$instance"}', "datasource": SOURCE}],
    "links": [{"url": "/d/a?var-instance=x&${__url_time_range}"}],
}
BOARD = {
    "uid": "a",
    "title": "A",
    "description": "All of it.",
    "tags": ["a"],
    "links": [{"url": "/d/a"}],
    "templating": {
        "list": [
            {"name": "datasource", "type": "datasource", "label": "Source", "query": "prometheus"},
            {"name": "instance", "type": "query", "label": "PBS", "datasource": SOURCE, "query": {"query": "up"}},
        ],
    },
    "panels": [PANEL],
}

Board = dict[str, Any]


def lint() -> Any:
    """Return the lint as a module: it is a script outside any package."""
    spec = importlib.util.spec_from_file_location("dashboards_lint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def another(panel: dict[str, Any], **place: int) -> dict[str, Any]:
    return panel | {"id": 2, "title": "Free", "gridPos": panel["gridPos"] | place}


BROKEN: dict[str, Callable[[Board], object]] = {
    "a: the UID isn't the file's name": lambda board: board.update(uid="b"),
    "a: no title": lambda board: board.pop("title"),
    "a: no description": lambda board: board.pop("description"),
    "a: no tags": lambda board: board.update(tags=[]),
    "a: a hard-coded data source: prometheus": lambda board: board["panels"][0].update(datasource="prometheus"),
    "a: a hard-coded data source: {'type': 'prometheus', 'uid': 'x1'}": lambda board: board["panels"][0]["targets"][
        0
    ].update(datasource={"type": "prometheus", "uid": "x1"}),
    "a: a hard-coded data source: None": lambda board: board["templating"]["list"][1].update(datasource=None),
    "a: no data source: Used": lambda board: board["panels"][0].pop("datasource"),
    'a: no data source: used{instance=~"$instance"}': lambda board: board["panels"][0]["targets"][0].pop("datasource"),
    "a: no data source: instance": lambda board: board["templating"]["list"][1].pop("datasource"),
    "a: no variable datasource": lambda board: board["templating"]["list"][0].update(type="custom"),
    "a: panel 1: no title": lambda board: board["panels"][0].pop("title"),
    "a: panel Used: no ID": lambda board: board["panels"][0].pop("id"),
    "a: panel Free: ID 1 isn't unique": lambda board: board["panels"].append(
        another(board["panels"][0], x=12) | {"id": 1},
    ),
    "a: panel Used: no description": lambda board: board["panels"][0].update(description=""),
    "a: panel Used: no unit": lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("unit"),
    "a: panel Used: no noValue": lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("noValue"),
    "a: panel Used: no thresholds, so that Grafana takes its own": lambda board: board["panels"][0]["fieldConfig"][
        "defaults"
    ].pop("thresholds"),
    "a: panel Used: an empty query": lambda board: board["panels"][0]["targets"].append(
        {"refId": "B", "expr": "", "datasource": SOURCE},
    ),
    "a: panel Used: two queries with one refId": lambda board: board["panels"][0]["targets"].append(
        {"refId": "A", "expr": "up", "datasource": SOURCE},
    ),
    "a: panel Free: doesn't fit 24 columns: {'x': 13, 'y': 0, 'w': 12, 'h': 4}": lambda board: board["panels"].append(
        another(board["panels"][0], x=13),
    ),
    "a: panel Free: lies over Used": lambda board: board["panels"].append(another(board["panels"][0], x=11)),
    "a: uses the variable node, which isn't defined": lambda board: board["panels"][0].update(title="Used of $node"),
    "a: uses the variable store, which isn't defined": lambda board: board["panels"][0].update(
        title="Used of ${store:pipe}",
    ),
    "a: variable instance: uses node, which isn't defined before it": lambda board: board["templating"]["list"][
        1
    ].update(query={"query": "up$node"}),
    "a: variable datasource: defined twice": lambda board: board["templating"]["list"].append(
        board["templating"]["list"][0],
    ),
    "a: variable instance: no label": lambda board: board["templating"]["list"][1].pop("label"),
    "a: variable spare: nothing uses it": lambda board: board["templating"]["list"].append(
        {"name": "spare", "label": "Spare", "type": "custom", "query": "1,2"},
    ),
    "a: a link to b, which isn't there": lambda board: board["links"].append({"url": "/d/b"}),
    "a: a link to a sets node, which isn't a variable there": lambda board: board["links"].append(
        {"url": "/d/a?var-node=1"},
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_found(fault: str) -> None:
    """The lint names the fault of a dashboard with one fault."""
    board = copy.deepcopy(BOARD)
    BROKEN[fault](board)
    assert fault in list(lint().faults({"a": board}))


def test_a_good_dashboard_has_none() -> None:
    """The lint finds nothing in a good dashboard."""
    assert list(lint().faults({"a": BOARD})) == []


def test_a_uid_is_one_dashboards() -> None:
    """Two dashboards can't have the same UID."""
    assert "b: the UID isn't unique" in list(lint().faults({"a": BOARD, "b": BOARD}))


def test_a_panel_without_query_is_found() -> None:
    """A panel without a query is a fault."""
    board = copy.deepcopy(BOARD) | {"panels": [PANEL, another(PANEL, x=12) | {"targets": []}]}
    assert list(lint().faults({"a": board})) == ["a: panel Free: no query"]


def test_rows_need_a_title_only() -> None:
    """A row needs no query, and the panels inside it are checked."""
    row = {"id": 3, "type": "row", "title": "Row", "gridPos": {"x": 0, "y": 4, "w": 24, "h": 1}}
    inside = another(PANEL, y=5) | {"description": ""}
    assert list(lint().faults({"a": BOARD | {"panels": [PANEL, row]}})) == []
    board = BOARD | {"panels": [PANEL, row | {"panels": [inside]}]}
    assert list(lint().faults({"a": board})) == ["a: panel Free: no description"]


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)  # noqa: S603 - nothing from outside


def test_the_script_says_it_and_fails(tmp_path: Path) -> None:
    """The script prints nothing and succeeds for good dashboards, and otherwise fails with one line per fault."""
    file = tmp_path / "a.json"
    file.write_text(json.dumps(BOARD))
    good = run(tmp_path)
    assert (good.returncode, good.stdout) == (0, "")
    file.write_text(json.dumps(BOARD | {"tags": []}))
    bad = run(tmp_path)
    assert (bad.returncode, bad.stdout) == (1, "a: no tags\n")


def test_no_dashboard_is_a_fault(tmp_path: Path) -> None:
    """A folder without dashboards is a fault: the lint would pass without a check."""
    ended = run(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, f"no dashboards in {tmp_path}\n")
