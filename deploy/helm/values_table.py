"""Writes the table of values in the chart's README from values.yaml: `python deploy/helm/values_table.py`.

Each value is a line `key: value` with its meaning in the comment above it. A list may stand below its key.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

CHART = Path(__file__).parent / "pbs-exporter"
README = CHART / "README.md"
BEGIN = "<!-- values: written by `make docs` from values.yaml -->\n"
END = "<!-- end of values -->\n"

_ENTRY = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+):(?: (?P<value>.+))?")
_COMMENT = re.compile(r" *# (.+)")
_ITEM = re.compile(r" *- (.+)")


def table(values: str) -> str:
    """Make the table of a values.yaml."""
    rows = "".join(f"| `{key}` | `{value}` | {meaning} |\n" for key, value, meaning in entries(values))
    return f"| value | default | meaning |\n|---|---|---|\n{rows}"


def entries(values: str) -> Iterator[tuple[str, str, str]]:
    """Give name, default and meaning of each value. Raises `ValueError` where a meaning is missing."""
    path: list[str] = []
    meaning = ""
    lines = values.splitlines()
    for number, line in enumerate(lines):
        if comment := _COMMENT.fullmatch(line):
            meaning = comment[1]
        elif entry := _ENTRY.fullmatch(line):
            path[len(entry["indent"]) // 2 :] = [entry["key"]]
            default = entry["value"] or _list(lines[number + 1 :])
            if default:
                if not meaning:
                    raise ValueError(f"{'.'.join(path)} has no comment that says what it means")
                yield ".".join(path), default, meaning
            meaning = ""


def _list(below: list[str]) -> str:
    items = []
    for line in below:
        if (item := _ITEM.fullmatch(line)) is None:
            break
        items.append(item[1])
    return f"[{', '.join(items)}]" if items else ""


def with_table(readme: str, values: str) -> str:
    """Give the README with the table that belongs into it."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the chart's README has lost the lines between which its table belongs")
    return f"{before}{BEGIN}{table(values)}{END}{after}"


def main() -> int:
    """Write the table into the chart's README."""
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), values), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
