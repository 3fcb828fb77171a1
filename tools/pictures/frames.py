"""A table panel's rows: its queries' results after Grafana's transformations merge and organize."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.monitoring.servers import Series

Row = dict[str, str | float]


def rows_of(panel: Mapping[str, Any], answers: Sequence[Series]) -> tuple[list[str], list[Row]]:
    """Return the headings, from left to right, and the rows as the panel sorts them."""
    refs = [target["refId"] for target in panel["targets"]]
    merged = _merge(
        [
            [
                {**_labels(one["metric"]), f"Value #{ref}" if len(refs) > 1 else "Value": float(one["value"][1])}
                for one in answer
            ]
            for ref, answer in zip(refs, answers, strict=True)
        ],
    )
    (options,) = (part["options"] for part in panel["transformations"] if part["id"] == "organize")
    renamed, order = options["renameByName"], options["indexByName"]
    there = {name for row in merged for name in row} - set(options["excludeByName"])
    names = sorted(there, key=lambda name: (order.get(name, len(order)), name))
    headings = [renamed.get(name, name) for name in names]
    rows = [{renamed.get(name, name): row[name] for name in names if name in row} for row in merged]
    (by,) = panel["options"]["sortBy"]
    known = [row for row in rows if by["displayName"] in row]
    known.sort(key=lambda row: _key(row[by["displayName"]]), reverse=by["desc"])
    return headings, known + [row for row in rows if by["displayName"] not in row]


def _labels(metric: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metric.items() if name != "__name__"}


def _key(value: str | float) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value, "")


def _merge(frames: Sequence[Sequence[Row]]) -> list[Row]:
    filled = [frame for frame in frames if frame]
    if not filled:
        return []
    shared = sorted(set.intersection(*({name for row in frame for name in row} for frame in filled)))
    if len(filled) == 1:
        return [dict(row) for row in filled[0]]
    merged: dict[tuple[str | float | None, ...], Row] = {}
    for frame in filled:
        for row in frame:
            merged.setdefault(tuple(row.get(name) for name in shared), {}).update(row)
    return list(merged.values())
