"""Dashboards as Grafana reads them: panels, variables, and queries with the values of variables."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.paths import ROOT

FOLDER = ROOT / "monitoring" / "dashboards"
OPTIONAL = FOLDER / "optional"
"""Dashboards that need another exporter."""
ALL = "$__all"
_WIDTH = 600
"""The number of points of a panel that sets none: its width in pixels."""

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::(\w+))?\})")
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Panel = Mapping[str, Any]


class Variable(NamedTuple):
    """A variable with values from Prometheus."""

    name: str
    query: str
    regex: str
    multi: bool
    all_value: str

    def chosen(self, values: Sequence[str], options: Sequence[str], form: str = "") -> str:
        """Return the text of the chosen values in a query. `ALL` chooses all of them."""
        if list(values) == [ALL]:
            if self.all_value:
                return self.all_value
            values = options
        if form == "pipe":
            return "|".join(values)
        if not self.multi:
            return values[0].replace("\\", "\\\\").replace('"', '\\"')
        escaped = [_SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\\\\\\\")) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def dashboards(folder: Path = FOLDER, **written: str) -> dict[str, Mapping[str, Any]]:
    """Return all dashboards of a folder by UID, with what is written in their text boxes."""
    return {file.stem: _read(file, written) for file in sorted(folder.glob("*.json"))}


def _read(file: Path, written: Mapping[str, str]) -> Mapping[str, Any]:
    text = file.read_text(encoding="utf-8")
    for variable in json.loads(text)["templating"]["list"]:
        if variable["type"] == "textbox":
            name = variable["name"]
            text = re.sub(rf"\${name}\b", written.get(name, variable["query"]), text)
    content: Mapping[str, Any] = json.loads(text)
    return content


def panels(board: Mapping[str, Any]) -> Iterator[Panel]:
    """Yield the panels that have queries."""
    yield from (panel for panel in board["panels"] if panel.get("targets"))


def step_of(board: Mapping[str, Any], panel: Panel) -> int:
    """Return the seconds between two points of a panel, in the dashboard's own time range."""
    return seconds(board["time"]["from"]) // int(panel.get("maxDataPoints", _WIDTH))


def variables(board: Mapping[str, Any]) -> list[Variable]:
    """Return the variables that query their values, in the order of their queries."""
    return [
        Variable(
            variable["name"],
            variable["query"]["query"],
            variable.get("regex", ""),
            bool(variable.get("multi")),
            variable.get("allValue", ""),
        )
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    ]


def seconds(span: str) -> int:
    """Return the seconds of `now-7d`, the start of a dashboard's time range."""
    number = span.removeprefix("now-")
    return int(number[:-1]) * _UNITS[number[-1]]


def values_of(query: str, regex: str, results: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a variable's options: a label's values, or what its pattern finds in results as Grafana shows them."""
    if query.startswith("label_values("):
        label = query.removesuffix(")").rsplit(",", 1)[1].strip()
        return sorted({result[label] for result in results if result.get(label)})
    # JavaScript writes /.../, and named groups without the P.
    pattern = re.compile(regex.strip("/").replace("(?<", "(?P<"))
    shown = ["{" + ",".join(f'{name}="{value}"' for name, value in result.items()) + "}" for result in results]
    return sorted({found["value"] for text in shown if (found := pattern.search(text))})


def asked(query: str) -> str:
    """Return the expression in a variable's query."""
    if query.startswith("label_values("):
        return query.removeprefix("label_values(").rsplit(",", 1)[0]
    return query.removeprefix("query_result(").removesuffix(")")


def put_in(
    text: str,
    chosen: Mapping[str, tuple[Variable, Sequence[str], Sequence[str]]],
    *,
    span: int,
    step: int,
    scrape_interval: int,
) -> str:
    """Replace the variables in a query: Grafana's own, and the dashboard's with their chosen values and options."""
    own = {
        "__range": f"{span}s",
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + scrape_interval, 4 * scrape_interval)}s",
    }

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in own:
            return own[name]
        if name not in chosen:
            # As in label_replace: $1 is a group there.
            assert name.isdigit(), f"no variable {name}: {text}"
            return found[0]
        variable, values, options = chosen[name]
        return variable.chosen(values, options, found[3] or "")

    return _VARIABLE.sub(value, text)
