"""Writes docs/metrics.md from what the code declares: `python docs/generate.py [FILE]`, without FILE to stdout."""  # noqa: INP001 - a script, no package

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import AnyCollector, Need
from pbs_exporter.exposition import self_metrics
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.scrape import scrape_metrics

INTRODUCTION = """\
# Metrics

Written by `make docs` from the declarations in the code: change those, not this file.

What PBS doesn't say has no series: an absent series means "unknown", 0 means that PBS said 0. Points in time are Unix
seconds, so an age is `time() - …`. A label that is empty, such as `namespace` of a root namespace, is no label to
Prometheus. The help of what PBS says ends with the path of its API, and mostly the field there, that it comes from.

Each collector has a switch of its own in the section `[collectors]` of the settings.

A *slow* collector doesn't ask at each scrape, because what it asks for changes seldom or costs PBS much. In between,
its success and duration are those of its last ask, and its last good samples are shown, for three of its intervals and
at least an hour; `pbs_collector_data_timestamp_seconds` says from when they are.
"""

OWN = """\
## The exporter

PBS's version, the scrape itself, and the exporter's requests to PBS. These can't be switched off.
"""

PROCESS = """\
Besides, `/metrics` has the metrics of the exporter's own process that Python's Prometheus client makes:
`process_*`, `python_info` and `python_gc_*`. `[exporter] process_metrics = false` switches them off.
"""


def document() -> str:
    """Give the whole document."""
    own = (*scrape_metrics.METRICS, *self_metrics.METRICS)
    parts = [INTRODUCTION, *(_collector(collector) for collector in COLLECTORS), OWN, _table(own), PROCESS]
    return "\n".join(parts)


def _collector(collector: AnyCollector) -> str:
    needs = ", ".join(_need(need) for need in collector.needs) or "no privilege"
    switch = "on" if collector.default else "off"
    slow = f" {_slow(collector.intervals)}" if collector.intervals else ""
    return f"""\
## {collector.name}

{_text(collector.help)}

Needs {needs}. Switch: `[collectors] {collector.name}`, by default {switch}.{slow}

{_table(collector.metrics)}"""


def _slow(intervals: int) -> str:
    times = "" if intervals == 1 else f"{intervals} times "
    return f"Slow: asks every {times}`slow_interval_seconds`."


def _need(need: Need) -> str:
    return f"`{need.privilege}` on `{need.path}` (role `{need.role}`)"


def _table(metrics: Iterable[Metric]) -> str:
    return "".join(f"{line}\n" for line in _rows(metrics))


def _rows(metrics: Iterable[Metric]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.type} | {labels} | {_text(metric.help)} |"


def _text(text: str) -> str:
    """Keep Markdown from reading a help text as anything but text."""
    return "".join(f"\\{character}" if character in "\\|<>*_`[]" else character for character in text)


def main(arguments: list[str]) -> int:
    """Write the document where the command line says."""
    if arguments:
        Path(arguments[0]).write_text(document(), encoding="utf-8")
    else:
        sys.stdout.write(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
