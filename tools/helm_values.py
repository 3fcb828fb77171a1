"""Write the table of values in the Helm chart's README from values.yaml: `python -m tools.helm_values`.

Each value is a line `key: value` with its meaning in the comment above it. The items of a list may follow its key.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CHART = Path(__file__).resolve().parents[1] / "deploy" / "helm" / "pbs-exporter"
README = CHART / "README.md"
BEGIN = "<!-- values: written by `make docs` from values.yaml -->\n"
END = "<!-- end of values -->\n"

_ENTRY = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+):(?: (?P<value>.+))?")
_COMMENT = re.compile(r" *# (.+)")
_ITEM = re.compile(r" *- (.+)")


def table(values: str) -> str:
    """Return the table for the text of a values.yaml."""
    rows = "".join(f"| `{key}` | `{value}` | {meaning} |\n" for key, value, meaning in entries(values))
    return f"| value | default | meaning |\n|---|---|---|\n{rows}"


def entries(values: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name, default and meaning of each value. Raise `ValueError` if a meaning is missing."""
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
    """Return the README with a fresh table. Raise `ValueError` if the lines around it are gone."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the chart's README lacks the lines that enclose the table")
    return f"{before}{BEGIN}{table(values)}{END}{after}"


def main() -> None:
    """Write the table into the chart's README."""
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), values), encoding="utf-8")


if __name__ == "__main__":
    main()
