"""docs/history.md to its end: blocks made by a real promtool, loaded by a real Prometheus in its first minute."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pbs_exporter.simulator import SimulatedPbs
from tests.monitoring.calm_pbs import calm, calmed
from tests.monitoring.demo_prometheus import hurried_rules
from tests.monitoring.exporters import with_settings
from tests.monitoring.monitored_pbs import BackgroundLoop
from tests.monitoring.servers import Prometheus, prometheus
from tests.monitoring.test_loading import VERSIONS
from tests.support.commands import environment, run
from tests.support.documented import block
from tests.support.waiting import poll

DAY = 86400
QUARTER = DAY // 4
FULL_IN = 100 * DAY
"""Seconds until each datastore is full, at the rate at which it has grown for years."""

STEPS = (
    "docs/history.md: Bring it into Prometheus 1",
    "docs/history.md: Bring it into Prometheus 2",
    "docs/history.md: Bring it into Prometheus 3",
)
MANY = "docs/history.md: Several PBS 1"
DATA = "/var/lib/prometheus/metrics2"
FORECAST = "datastore:pbs_datastore_full:seconds"
USED = "pbs_datastore_used_bytes"

Rows = list[dict[str, Any]]


def growing(now: int) -> SimulatedPbs:
    """Return a PBS with a datastore that is half full now, and will be full in `FULL_IN` seconds."""
    source = calmed(calm("main"))

    def grown(row: dict[str, Any]) -> dict[str, Any]:
        if "total" not in row:
            return row
        available = row["total"] * (0.5 - 0.5 * (row.get("time", now) - now) / FULL_IN)
        # Before it was empty, there was none.
        return row | {"available": available, "avail": round(available), "used": row["total"] - available}

    def past(rows: Rows) -> Rows:
        return [grown(row) if row["time"] > now - FULL_IN else {"time": row["time"]} for row in rows]

    def present(rows: Rows) -> Rows:
        return [{**grown(row), "used": round(row["total"] / 2)} for row in rows]

    source.change("/admin/datastore/{store}/rrd", past)
    source.change("/status/datastore-usage", present)
    return SimulatedPbs(source)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Path]:
    """Run two PBS, and write settings for one as `[pbs]` and both as targets."""
    now = int(time.time())
    with BackgroundLoop() as loop:
        servers = {"zrh1": growing(now), "vie4": growing(now)}
        for pbs in servers.values():
            loop.run(pbs.start())
        keys = {
            name: f'endpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
            for name, pbs in servers.items()
        }
        targets = "".join(f"[targets.{name}]\n{text}" for name, text in keys.items())
        file = tmp_path / "settings.toml"
        file.write_text(f"[pbs]\n{keys['zrh1']}{targets}")
        yield file
        for pbs in servers.values():
            loop.run(pbs.stop())


def jobs(address: str) -> Rows:
    """Return the scrape job of the page, with a further exporter whose past nobody brings."""
    own = {name: {"targets": [address], "labels": {"instance": name}} for name in ("localhost:9101", "new:9101")}
    many = [
        {"targets": [address], "labels": {"instance": name, "__metrics_path__": "/probe", "__param_target": name}}
        for name in ("zrh1", "vie4")
    ]
    return [{"job_name": "pbs", "honor_labels": True, "static_configs": [*own.values(), *many]}]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_forecast_answers_on_the_first_day(version: str, settings: Path, tmp_path: Path) -> None:
    """As docs/history.md says, the past becomes part of the scraped series, and the forecast answers at once."""
    program = VERSIONS[version]
    folder, bin_ = tmp_path / "prometheus", tmp_path / "bin"
    (folder / "data").mkdir(parents=True)
    bin_.mkdir()
    for name, path in (
        ("promtool", program("promtool")),
        ("pbs-exporter", Path(sys.executable).parent / "pbs-exporter"),
    ):
        (bin_ / name).symlink_to(path)
    env = environment()
    env["PATH"] = f"{bin_}:{env['PATH']}"
    write, make, move = map(block, STEPS)
    assert DATA in move
    for text in (write, make, block(MANY), move.replace(DATA, str(folder / "data"))):
        run("bash", "-euo", "pipefail", "-c", text, cwd=tmp_path, env=env)

    with with_settings(tmp_path, settings) as exporter:
        configuration = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "2s"},
            "scrape_configs": jobs(exporter.url.removeprefix("http://")),
            "rule_files": hurried_rules(folder),
        }
        with prometheus(folder, configuration, program=program("prometheus"), kept="2y") as running:
            _check(running)


def _check(running: Prometheus) -> None:
    known = {"localhost:9101", "zrh1", "vie4"}
    poll(lambda: len(running.query(USED)) == len({*known, "new:9101"}), "all are scraped", seconds=120)
    poll(lambda: len(running.query(FORECAST)) >= len(known), "the forecast answers", seconds=120)
    forecast = {labels["instance"]: seconds for labels, seconds in running.query(FORECAST)}
    assert forecast.keys() == known
    assert all(0.9 * FULL_IN < seconds < 1.1 * FULL_IN for seconds in forecast.values())
    # The past and what is scraped are one series.
    series = running.query(f"count_over_time({USED}[1y])")
    assert len(series) == len(known) + 1
    samples = {labels["instance"]: number for labels, number in series}
    assert all(samples[instance] > 2000 for instance in known)
    assert samples["new:9101"] < 100

    # Between two steps, of which a plain name shows nothing.
    at = (time.time() - FULL_IN / 2) // QUARTER * QUARTER + QUARTER / 2
    assert running.instant(USED, at) == []
    expression = block("docs/history.md: Graphs of the past 1", "promql")
    shares = running.instant(f"({expression}) / ignoring() last_over_time(pbs_datastore_total_bytes[6h])", at)
    assert {row["metric"]["instance"] for row in shares} == known
    assert all(float(row["value"][1]) == pytest.approx(0.25, abs=0.01) for row in shares)
    # As Grafana asks for a month: at whole hours.
    today = time.time() // DAY * DAY
    graphs = running.range(f"{USED}{{instance!='new:9101'}}", start=today - 20 * DAY, end=today - 2 * DAY, step=3600)
    # The simulated server was down for an hour of these days, at most.
    assert [len(graph["values"]) >= 18 * 24 for graph in graphs] == [True] * len(known)
    assert len(running.instant("last_over_time(pbs_host_memory_used_bytes[1w])", time.time() - 300 * DAY)) == len(known)
