"""Tables of results in Markdown, and their places in a document."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from benchmarks.benchmark import Benchmark
from benchmarks.machine import machine
from benchmarks.measurement import Measurement, Thresholds
from benchmarks.table import GROWTH, SECTIONS

_PLACE = "<!-- make bench: {} -->\n"
_END = "<!-- end -->\n"
LOADS: Final = "`json.loads` of 100,000 snapshots"
"""The speed of the machine during the run."""

Results = Mapping[str, Measurement]
"""Results by the names of their benchmarks."""

Peers = dict[str, dict[str, Measurement | str]]
"""The result, or why there is none, by benchmark and exporter."""


def tables(results: Results) -> dict[str, str]:
    """Return the tables with results, by the names of their places in the document."""
    found = {name: [row for row in rows if row.name in results] for name, rows in SECTIONS.items()}
    return {
        "machine": _machine(results),
        **{name: results_table(rows, results) for name, rows in found.items() if rows},
        **({"growth": _growth(results)} if results.keys() & set(chain(*GROWTH)) else {}),
        "inputs": _inputs([row for rows in found.values() for row in rows]),
    }


def results_table(rows: Iterable[Benchmark], results: Results) -> str:
    """Return a table of results."""
    head = ("row", "unit", "min", "median", "max", "ratio", "peak MiB", "after MiB", "wanted", "reached", "details")
    return table(head, [_result(row, results[row.name]) for row in rows])


def peers_table(results: Peers) -> str:
    """Return a table that compares exporters."""
    head = ("row", "exporter", "min ms", "median ms", "max ms", "peak MiB", "after MiB", "details")
    rows = [(name, peer, result) for name, peers in results.items() for peer, result in peers.items()]
    return table(head, [[f"`{name}`", peer, *_peer(result)] for name, peer, result in rows])


def check(file: Path) -> None:
    """Raise `ValueError` if the document lacks a place for a table."""
    text = file.read_text(encoding="utf-8")
    missing = [name for name in ("machine", *SECTIONS, "growth", "inputs") if not _place(name).search(text)]
    if missing:
        raise ValueError(f"{file} has no places for: {', '.join(missing)}")


def write(file: Path, parts: Mapping[str, str]) -> None:
    """Write each table to its place in the document."""
    text = file.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = _place(name).sub(_filled(name, part), text)
    file.write_text(text, encoding="utf-8")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(_PLACE.format(name))}.*?{re.escape(_END)}", re.DOTALL)


def _filled(name: str, part: str) -> Callable[[re.Match[str]], str]:
    # `re.sub` would interpret backslashes in a string.
    return lambda _: f"{_PLACE.format(name)}\n{part}\n{_END}"


def _machine(results: Results) -> str:
    loads = [result.compared_with for name, result in results.items() if name.startswith("100k-limit-")]
    speed = {LOADS: f"{median(chain(*loads)):.0f} ms"} if any(loads) else {}
    return table(("", ""), [[name, value] for name, value in {**machine(), **speed}.items()])


def _inputs(rows: Sequence[Benchmark]) -> str:
    head = ("row", "what PBS has", "settings", "runs", "command")
    return table(
        head,
        [
            [
                f"`{row.name}`",
                str(row.input),
                ", ".join(f"`{name}={value}`" for name, value in {**row.settings, **row.headers}.items()),
                str(row.runs),
                f"`make bench ARGS='--only {row.name}'`",
            ]
            for row in rows
        ],
    )


def _result(row: Benchmark, result: Measurement) -> list[str]:
    exceeded = result.exceeded(row.thresholds)
    limits = _limits(row.thresholds)
    return [
        f"`{row.name}`",
        result.unit,
        *(_number(value) for value in (min(result.values), result.median, max(result.values), result.ratio)),
        _number(result.peak),
        _number(result.steady),
        limits,
        (f"no: {', '.join(exceeded)}" if exceeded else "yes") if limits else "",
        result.details,
    ]


def _peer(result: Measurement | str) -> list[str]:
    if isinstance(result, str):
        return [*[""] * 5, _failure(result)]
    values = (min(result.values), result.median, max(result.values), result.peak, result.steady)
    return [*map(_number, values), result.details]


def _failure(error: str) -> str:
    return f"failed: {' '.join(error.split()).replace('|', '/')}"


def _limits(limits: Thresholds) -> str:
    names = {"largest": "max", "steady": "after"}
    values = msgspec.structs.asdict(limits)
    drift = values.pop("drift")
    texts = [f"{names.get(name, name)} ≤ {limit:.3g}" for name, limit in values.items() if limit is not None]
    if drift is not None:
        texts.append(f"ratio 1 ± {drift:g}")
    return ", ".join(texts)


def _growth(results: Results) -> str:
    head = ("row", "median ms", "to the row before", "µs a snapshot", "peak MiB", "more than the row before")
    lines = []
    rows = {row.name: row for row in SECTIONS["scrapes"]}
    for names in GROWTH:
        before: Measurement | None = None
        for name in names:
            if name not in results:
                continue
            result = results[name]
            peak = result.peak or 0
            lines.append(
                [
                    f"`{name}`",
                    _number(result.median),
                    _number(result.median / before.median) if before else "",
                    _number(result.median * 1_000 / rows[name].input.total),
                    _number(peak),
                    f"{peak - (before.peak or 0):+.1f}" if before else "",
                ]
            )
            before = result
    return table(head, lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))
