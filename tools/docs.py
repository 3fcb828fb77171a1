"""Write the generated parts of docs/: `python -m tools.docs`. With `--check`, only report what is stale.

A page marks the place of a part: `<!-- make docs: NAME -->`, the part, `<!-- end -->`.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pbs_exporter.__main__ import parsers
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import AnyCollector, Need
from pbs_exporter.config import Setting, settings_table
from pbs_exporter.exposition import self_metrics
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.scrape import scrape_metrics

PAGES = Path(__file__).parents[1] / "docs"

_PART = re.compile(r"(?P<begin><!-- make docs: (?P<name>.+?) -->\n).*?(?P<end><!-- end -->\n)", re.DOTALL)


def parts() -> dict[str, str]:
    """Return the text of each generated part by name."""
    settings = settings_table(DEFAULTS)
    sections = dict.fromkeys(setting.section for setting in settings)
    short = ", ".join(f"`{setting.key}`" for setting in settings if len(setting.variables) > 1)
    return {
        "list of collectors": "".join(f"- [{row.name}](#{row.name}): {_text(row.help)}\n" for row in COLLECTORS),
        "metrics of PBS": "\n".join(_collector(collector) for collector in COLLECTORS),
        "metrics of the exporter": _metrics((*scrape_metrics.METRICS, *self_metrics.METRICS)),
        "settings with single underscores": f"{short}\n",
        **{f"[{name}]": _settings(row for row in settings if row.section == name) for name in sections},
        **{f"{name} --help": f"```text\n{text}```\n" for name, text in _help_texts()},
    }


def updated(pages: dict[Path, str], texts: dict[str, str]) -> dict[Path, str]:
    """Return the pages with their parts renewed. Raise `ValueError` unless each part has exactly one place."""
    places = [part["name"] for page in pages.values() for part in _PART.finditer(page)]
    if sorted(places) != sorted(texts):
        raise ValueError(f"the pages have places for {sorted(places)}, not for {sorted(texts)}")
    return {
        path: _PART.sub(lambda part: f"{part['begin']}\n{texts[part['name']]}\n{part['end']}", page)
        for path, page in pages.items()
    }


def _collector(collector: AnyCollector) -> str:
    needs = ", ".join(_need(need) for need in collector.needs) or "no privilege"
    state = "enabled" if collector.default else "disabled"
    slow = f"Slow: runs every {_slow(collector.intervals)}.\n" if collector.intervals else ""
    metrics = f"\n{_metrics(collector.metrics)}" if collector.metrics else ""
    return f"""\
## {collector.name}

{_text(collector.help)}

Requires {needs}.
Switch: `[collectors] {collector.name}`, {state} by default.
{slow}{metrics}"""


def _slow(intervals: int) -> str:
    return "`slow_interval_seconds`" if intervals == 1 else f"{intervals} times `slow_interval_seconds`"


def _need(need: Need) -> str:
    return f"`{need.privilege}` on `{need.path}` (role `{need.role}`)"


def _metrics(metrics: Iterable[Metric]) -> str:
    rows = (
        (f"`{metric.name}`", metric.type, ", ".join(f"`{label}`" for label in metric.labels), _text(metric.help))
        for metric in metrics
    )
    return _table(("metric", "type", "labels", "meaning"), rows)


def _settings(settings: Iterable[Setting]) -> str:
    helps = {collector.name: _text(collector.help.removesuffix(".")) for collector in COLLECTORS}
    rows = (
        (
            f"[`{row.key}`](metrics.md#{row.key})" if row.section == "collectors" else f"`{row.key}`",
            f"`{row.variables[0]}`",
            "required" if row.required else "" if row.default == '""' else f"`{row.default}`",
            helps[row.key] if row.section == "collectors" else row.help,
        )
        for row in settings
    )
    return _table(("setting", "environment variable", "default", "meaning"), rows)


def _help_texts() -> Iterator[tuple[str, str]]:
    # argparse wraps at the terminal's width, and colors its output where it can.
    os.environ |= {"COLUMNS": "100", "PYTHON_COLORS": "0"}
    return ((parser.prog, parser.format_help()) for parser in parsers())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _text(text: str) -> str:
    """Escape a help text, so that Markdown reads it as plain text."""
    return "".join(f"\\{character}" if character in "\\|<>*_`[]" else character for character in text)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` return 1 if one is stale."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    stale = {path: page for path, page in updated(pages, parts()).items() if page != pages[path]}
    for path, page in stale.items():
        if arguments == ["--check"]:
            sys.stderr.write(f"docs/{path.name} is stale: run `make docs`\n")
        else:
            path.write_text(page, encoding="utf-8")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
