"""Check the dashboards for faults: `python -m tools.lint_dashboards [FOLDER]`. The exit code is 1 if there are any."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "monitoring" / "dashboards"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_WITHOUT_DATA = {"row", "text"}
_USE = re.compile(r"\$\{?([A-Za-z]\w*)|\[\[(\w+)")
_UID = re.compile(r"/d/([\w-]+)")
_SET = re.compile(r"[?&]var-(\w+)=")


def faults(dashboards: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the faults of dashboards. The keys are their files' names without the suffix."""
    variables = {
        board.get("uid"): {variable["name"] for variable in _variables(board)} for board in dashboards.values()
    }
    uids = [board.get("uid") for board in dashboards.values()]
    for name, board in dashboards.items():
        if board.get("uid") != name:
            yield f"{name}: the UID isn't the file's name"
        if uids.count(board.get("uid")) > 1:
            yield f"{name}: the UID isn't unique"
        yield from (f"{name}: no {key}" for key in ("title", "description", "tags") if not board.get(key))
        for fault in (*_of_sources(board), *_of_panels(board), *_of_variables(board), *_of_links(board, variables)):
            yield f"{name}: {fault}"


def panels_of(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all panels, including those in rows."""
    for panel in board.get("panels", ()):
        yield panel
        yield from panel.get("panels", ())


def _variables(board: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = board.get("templating", {}).get("list", ())
    return found


def _walk(value: object) -> Iterator[object]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from _walk(part)


def _texts(value: object) -> Iterator[str]:
    yield from (part for part in _walk(value) if isinstance(part, str))


def _of_sources(board: Mapping[str, Any]) -> Iterator[str]:
    for part in _walk(board):
        if isinstance(part, dict) and "datasource" in part and part["datasource"] != _SOURCE:
            yield f"a hard-coded data source: {part['datasource']}"
    asking = [*_with_data(board), *(target for panel in _with_data(board) for target in panel.get("targets", ()))]
    asking += [variable for variable in _variables(board) if variable.get("type") == "query"]
    for part in asking:
        if "datasource" not in part:
            shown = part.get("title") or part.get("name") or part.get("expr")
            yield f"no data source: {shown}"
    if not any(v["name"] == "datasource" and v.get("type") == "datasource" for v in _variables(board)):
        yield "no variable datasource"


def _with_data(board: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [panel for panel in panels_of(board) if panel.get("type") not in _WITHOUT_DATA]


def _of_panels(board: Mapping[str, Any]) -> Iterator[str]:
    panels = list(panels_of(board))
    ids = [panel.get("id") for panel in panels]
    for panel in panels:
        name = f"panel {panel.get('title') or panel.get('id')}"
        if not panel.get("title"):
            yield f"{name}: no title"
        if not isinstance(panel.get("id"), int):
            yield f"{name}: no ID"
        elif ids.count(panel["id"]) > 1:
            yield f"{name}: ID {panel['id']} isn't unique"
        if panel.get("type") not in _WITHOUT_DATA:
            yield from (f"{name}: {fault}" for fault in _of_panel(panel))
    yield from _of_places(panels)


def _of_panel(panel: Mapping[str, Any]) -> Iterator[str]:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if not panel.get("description"):
        yield "no description"
    yield from (f"no {key}" for key in ("unit", "noValue") if not defaults.get(key))
    if not defaults.get("thresholds", {}).get("steps"):
        yield "no thresholds, so that Grafana takes its own"
    targets = panel.get("targets", ())
    if not targets:
        yield "no query"
    if any(not target.get("expr") for target in targets):
        yield "an empty query"
    refs = [target.get("refId") for target in targets]
    if len(set(refs)) < len(refs):
        yield "two queries with one refId"


def _of_places(panels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel.get("gridPos", {})
        x, y, w, h = (place.get(key, 0) for key in "xywh")
        title = str(panel.get("title"))
        if w < 1 or h < 1 or x < 0 or y < 0 or x + w > _COLUMNS:
            yield f"panel {title}: doesn't fit {_COLUMNS} columns: {place}"
        below = {taken.get((column, line)) for column in range(x, x + w) for line in range(y, y + h)} - {None}
        yield from (f"panel {title}: lies over {other}" for other in sorted(map(str, below)))
        taken |= {(column, line): title for column in range(x, x + w) for line in range(y, y + h)}


def _used(value: object) -> set[str]:
    found = {one or other for text in _texts(value) for one, other in _USE.findall(text)}
    return {name for name in found if not name.startswith("__")}


def _of_variables(board: Mapping[str, Any]) -> Iterator[str]:
    known: set[str] = set()
    for variable in _variables(board):
        if variable["name"] in known:
            yield f"variable {variable['name']}: defined twice"
        if not variable.get("label"):
            yield f"variable {variable['name']}: no label"
        for name in sorted(_used(variable.get("query")) - known):
            yield f"variable {variable['name']}: uses {name}, which isn't defined before it"
        known.add(variable["name"])
    for name in sorted(_used([board.get("panels"), board.get("links")]) - known):
        yield f"uses the variable {name}, which isn't defined"
    for name in sorted(known - _used([board.get("panels"), [v.get("query") for v in _variables(board)]])):
        if name != "datasource":
            yield f"variable {name}: nothing uses it"


def _of_links(board: Mapping[str, Any], variables: Mapping[Any, set[str]]) -> Iterator[str]:
    for text in _texts(board):
        for uid in _UID.findall(text):
            if uid not in variables:
                yield f"a link to {uid}, which isn't there"
                continue
            for name in _SET.findall(text):
                if name not in variables[uid]:
                    yield f"a link to {uid} sets {name}, which isn't a variable there"


def main(arguments: list[str]) -> int:
    """Print the faults of the dashboards in a folder."""
    folder = Path(arguments[0]) if arguments else FOLDER
    dashboards = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("*.json"))}
    found = list(faults(dashboards)) if dashboards else [f"no dashboards in {folder}"]
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
