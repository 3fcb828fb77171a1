"""`python -m benchmarks.regression NEW`: compares measured tables with those of the last release."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.report import LOADS, table

DOCUMENT: Final = "docs/performance.md"
TOLERANCE: Final = 0.1
"""How much worse a row may be than before, beside its spread."""

_FIGURES = ("median", "ratio", "peak MiB", "after MiB")


class Change(msgspec.Struct, frozen=True):
    """A figure of a row: before, now, how much it grew, and how much of that may be chance."""

    row: str
    figure: str
    before: float
    now: float
    growth: float
    allowed: float

    @property
    def is_worse(self) -> bool:
        """Whether it grew by more than chance explains."""
        return self.growth > self.allowed


def main(arguments: list[str]) -> int:
    """Return 1 if a row got worse, otherwise 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression", description=__doc__)
    parser.add_argument("new", type=Path, metavar="NEW", help=f"a document as {DOCUMENT}, measured now")
    parser.add_argument(
        "--old", type=Path, metavar="FILE", help=f"compare with this one; default: {DOCUMENT} of the last release"
    )
    options = parser.parse_args(arguments)
    try:
        old, name = (options.old.read_text("utf-8"), str(options.old)) if options.old else _last_release()
        new = options.new.read_text("utf-8")
    except OSError as error:
        parser.error(str(error))
    found = list(changes(old, new))
    if not found:
        parser.error(f"{name} and {options.new} have no row in common")
    print(f"Compared with {name}:\n")
    print(_shown(found))
    return 1 if any(change.is_worse for change in found) else 0


def changes(old: str, new: str) -> Iterator[Change]:
    """Yield what the rows of both documents have in common.

    A ratio counts where there is one, because machines differ. Otherwise a time is compared both as it is and in
    relation to the time that `json.loads` took in the same run, and the smaller growth counts.
    """
    before, now = _rows(old), _rows(new)
    was, is_ = _loads(old), _loads(new)
    slower = is_ / was if was and is_ else 1.0
    for name in before.keys() & now.keys():
        yield from _changes(name, before[name], now[name], slower)


def _changes(name: str, before: dict[str, str], now: dict[str, str], slower: float) -> Iterator[Change]:
    spread = max(_spread(before), _spread(now))
    for figure in _FIGURES:
        was, is_ = _number(before[figure]), _number(now[figure])
        if not was or is_ is None or (figure == "median" and _number(now["ratio"]) is not None):
            continue
        growth = is_ / was
        if figure == "median" and now["unit"] in {"ms", "µs"}:
            growth = min(growth, growth / slower)
        yield Change(name, figure, was, is_, growth - 1, TOLERANCE + spread)


def _spread(row: dict[str, str]) -> float:
    """Return how far the quickest run is from the median, as a share of it.

    The slowest run says more about what else the machine did.
    """
    least, median = _number(row["min"]), _number(row["median"])
    return (median - least) / median if median and least is not None else 0.0


def _rows(document: str) -> dict[str, dict[str, str]]:
    """Return the rows of all tables of results, by name."""
    rows: dict[str, dict[str, str]] = {}
    head: list[str] = []
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []
        if not cells:
            head = []
        elif not head:
            head = cells
        elif {"median", "ratio"} <= set(head) and len(cells) == len(head):
            rows[cells[0].strip("`")] = dict(zip(head, cells, strict=True))
    return {name: row for name, row in rows.items() if name != "---"}


def _loads(document: str) -> float | None:
    cells = [line.strip("| ").split(" | ") for line in document.splitlines() if line.startswith(f"| {LOADS} |")]
    return _number(cells[0][1].removesuffix(" ms")) if cells else None


def _number(cell: str) -> float | None:
    return float(cell.replace(",", "")) if cell else None


def _shown(found: list[Change]) -> str:
    head = ("row", "figure", "before", "now", "change", "")
    lines = [
        [
            f"`{change.row}`",
            change.figure,
            f"{change.before:g}",
            f"{change.now:g}",
            f"{change.growth:+.0%}",
            f"worse (allowed: {change.allowed:+.0%})" if change.is_worse else "",
        ]
        for change in sorted(found, key=lambda change: (not change.is_worse, change.row, change.figure))
    ]
    return table(head, lines)


def _last_release() -> tuple[str, str]:
    """Return the tables of the last release, before the first one those of the last commit, and where they are from."""
    tag = _git("describe", "--tags", "--abbrev=0").strip() or "HEAD"
    text = _git("show", f"{tag}:{DOCUMENT}")
    if not text:
        raise OSError(f"git shows no {tag}:{DOCUMENT}")
    return text, f"{tag}:{DOCUMENT}"


def _git(*arguments: str) -> str:
    """Return what git prints, which is nothing if it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)  # noqa: S603, S607 - nothing from outside
    return "" if done.returncode else done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
