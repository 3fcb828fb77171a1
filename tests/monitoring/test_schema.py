import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.grafana import OPTIONAL, dashboards
from tests.support.cache import cached
from tests.support.commands import attempt, run

SOURCE = Path(__file__).with_name("schema")


def compiler() -> Path:
    """Return the folder with TypeScript and Grafana's types, at the versions of the lock file."""

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    return cached("grafana-schema", ((SOURCE / "package-lock.json").read_text(),), install)


def complaints(boards: Mapping[str, Any], folder: Path) -> str:
    """Return TypeScript's errors for dashboards as values of Grafana's types."""
    installed = compiler()
    (folder / "node_modules").symlink_to(installed / "node_modules")
    for name in ("shapes.ts", "tsconfig.json"):
        shutil.copy(SOURCE / name, folder)
    for uid, board in boards.items():
        text = json.dumps(board, indent=1)
        head = "import type { Dashboard } from './shapes';\nexport const dashboard: Dashboard ="
        (folder / f"{uid}.ts").write_text(f"{head} {text};\n", encoding="utf-8")
    return attempt("node", installed / "node_modules" / "typescript" / "bin" / "tsc", "--project", folder).stdout


def test_dashboards_fit_grafanas_types(tmp_path: Path) -> None:
    """Each dashboard has the shape that Grafana's own types give it, with its panels' options."""
    assert complaints(dashboards() | dashboards(OPTIONAL), tmp_path) == ""


def panel(board: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the first panel of that kind."""
    found: dict[str, Any] = next(panel for panel in board["panels"] if panel["type"] == kind)
    return found


MISTAKES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key that no dashboard has": lambda board: board.update(refreshes="1m"),
    "a word that isn't one of an option's": lambda board: panel(board, "stat")["options"].update(textMode="title"),
    "an option that a table hasn't": lambda board: panel(board, "table")["options"].update(sorted=True),
    "a field setting that a graph hasn't": lambda board: panel(board, "timeseries")["fieldConfig"]["defaults"][
        "custom"
    ].update(lineColour="red"),
    "a kind of panel that isn't known": lambda board: panel(board, "bargauge").update(type="bars"),
    "a number where a text belongs": lambda board: panel(board, "stat").update(title=1),
    "a query without an ID": lambda board: panel(board, "stat")["targets"][0].pop("refId"),
    "a wrong sort of link": lambda board: board["links"][0].update(type="page"),
}


def test_mistakes_are_found(tmp_path: Path) -> None:
    """A dashboard with any one of these mistakes doesn't fit Grafana's types."""
    boards = {}
    for number, mistake in enumerate(MISTAKES.values()):
        boards[f"mistake{number}"] = json.loads(json.dumps(dashboards()["pbs-overview"]))
        mistake(boards[f"mistake{number}"])
    said = complaints(boards, tmp_path)
    assert {name: f"mistake{number}.ts" in said for number, name in enumerate(MISTAKES)} == dict.fromkeys(
        MISTAKES, True
    )


@pytest.mark.parametrize("name", ["package.json", "package-lock.json"])
def test_no_registry_is_named(name: str) -> None:
    """The lock file pins the packages, and names no registry."""
    text = (SOURCE / name).read_text(encoding="utf-8")
    assert "://" not in text
