"""A Prometheus with twelve PBS of 500 groups each, on a bad day, and what the dashboards' queries cost there."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from time import monotonic, time
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.monitoring.backfill import DAY, END
from tests.monitoring.demo_pbs import LARGE, SITES
from tests.monitoring.demo_prometheus import demo_prometheus, past_samples
from tests.monitoring.grafana import ALL, Variable, asked, panels, put_in, seconds, step_of, values_of, variables
from tests.monitoring.servers import Prometheus, add_samples
from tools.pictures.rule_backfill import Times, write_past_rules

SERVERS, GROUPS = 12, 500
_PLACES = 4
_LOOKBACK = "25h"
"""Each series has a sample a day. A query at any time finds it, so it reads as many as with a sample a minute."""

_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+) \S+")
_MONTH = 30


class Cost(NamedTuple):
    """What a query costs."""

    title: str
    """Of its panel."""
    size: int
    """The bytes of the answer."""
    series: int
    samples: int
    """What Prometheus reads for it."""
    seconds: float


class Fleet:
    """The fleet's Prometheus."""

    def __init__(self, prometheus: Prometheus, now: float) -> None:
        self._prometheus = prometheus
        self._now = now

    def costs(self, board: Mapping[str, Any]) -> Iterator[Cost]:
        """Send the queries of a dashboard's refresh, with all PBS chosen, and yield what each costs."""
        chosen: dict[str, tuple[Variable, Sequence[str], Sequence[str]]] = {}
        for variable in variables(board):
            query = put_in(variable.query, chosen, span=DAY, step=60, scrape_interval=60)
            results = [result["metric"] for result in self._prometheus.instant(asked(query), self._now)]
            options = values_of(query, variable.regex, results)
            chosen[variable.name] = (variable, [ALL] if variable.multi else options[:1], options)
        span = seconds(board["time"]["from"])
        for panel in panels(board):
            step = step_of(board, panel)
            for target in panel["targets"]:
                expr = put_in(target["expr"], chosen, span=span, step=step, scrape_interval=60)
                times = {"start": self._now - span, "end": self._now, "step": step}
                yield self._cost(panel["title"], expr, {"time": self._now} if target.get("instant") else times)

    def _cost(self, title: str, expr: str, times: Mapping[str, float]) -> Cost:
        kind = "query" if "time" in times else "query_range"
        began = monotonic()
        status, text = self._prometheus.get(f"/api/v1/{kind}?{urlencode({'query': expr, 'stats': 'all', **times})}")
        took = monotonic() - began
        assert status == HTTPStatus.OK, f"{title}: {text[:500]}"
        data = json.loads(text)["data"]
        return Cost(title, len(text), len(data["result"]), data["stats"]["samples"]["totalQueryableSamples"], took)


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Run Prometheus with the samples of the fleet and those of the rules, for the duration of the block."""
    now = time() // 60 * 60
    add_samples(folder, "".join(_samples(past_samples([LARGE], start=now, end=now, step=1), now)))
    write_past_rules(folder, Times(now - DAY, now, DAY), lookback=_LOOKBACK)
    with demo_prometheus(folder, lookback=_LOOKBACK) as running:
        yield Fleet(running, now + 1)


def _samples(page: str, end: float) -> Iterator[str]:
    """Yield the samples of one PBS as those of the fleet."""
    for line in page.splitlines():
        if sample := _SAMPLE.fullmatch(line):
            name, labels, value = sample.groups()
            yield from _of_each(name, labels, value, end)
    yield END


def _of_each(name: str, labels: str, value: str, end: float) -> Iterator[str]:
    # On the bad day all backups are late, and tasks fail.
    if name == "pbs_snapshot_last_timestamp_seconds":
        value = f"{float(value) - 2 * DAY}"
    labels = labels.replace('status="ok",worker_id', 'status="error",worker_id')
    many = "backup_id=" in labels or "worker_id=" in labels
    for day in range(1 if many else _MONTH, -1, -1):
        then = f"{float(value) * (1 - day / 100)}" if name == "pbs_datastore_used_bytes" else value
        for number in range(SERVERS):
            of_one = labels.replace(LARGE, f"pbs{number}.example.org")
            of_one = of_one.replace(f'site="{SITES[LARGE]}"', f'site="site{number % _PLACES}"')
            yield f"{name}{{{of_one}}} {then} {end - day * DAY:.3f}\n"
