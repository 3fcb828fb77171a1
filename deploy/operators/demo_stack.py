"""Prometheus with rules and exporters in front of simulated PBS, and with a past that it hasn't lived through."""

import json
import os
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from demo_worlds import BARE, DEMO, JOB, SECOND
from machine import ROOT, environment, eventually, process, run
from prometheus import newest

RULES = ROOT / "deploy" / "prometheus" / "rules"
WORLDS = Path(__file__).with_name("demo_worlds.py")

_BIN = Path(sys.executable).parent
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Series = list[dict[str, Any]]
"""As Prometheus answers: each with `metric`, and `value` or `values`."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def instant(self, expr: str, at: float | None = None) -> Series:
        """Ask for an expression's value now, or at a time. Raises `AssertionError` with what Prometheus objects to."""
        return self._ask("query", {"query": expr} | ({} if at is None else {"time": f"{at:.3f}"}))

    def range(self, expr: str, *, start: float, end: float, step: float) -> Series:
        """Ask for its values over time. Raises as `instant`."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return self._ask("query_range", {"query": expr} | times)

    def get(self, path: str) -> Any:
        """Give the data of another answer."""
        with _DIRECT.open(f"{self.url}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    def _ask(self, path: str, parameters: dict[str, str]) -> Series:
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with _DIRECT.open(f"{self.url}/api/v1/{path}", body, timeout=60) as answer:
                result: Series = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{refused.read().decode()}: {parameters}") from refused
        return result


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def hurried_rules(folder: Path, seconds: int = 1) -> list[Path]:
    """Write the rules again, evaluated every so many seconds, and so that alerts fire at once; gives the files."""
    made = []
    for file in sorted(RULES.glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content["groups"]:
            group["interval"] = f"{seconds}s"
            for rule in group["rules"]:
                rule.pop("for", None)
                rule.pop("keep_firing_for", None)
        made.append(folder / file.name)
        made[-1].write_text(yaml.safe_dump(content), encoding="utf-8")
    assert made, f"no rules in {RULES}"
    return made


def write_past(folder: Path, instances: Sequence[str], *, start: float, end: float, step: int) -> None:
    """Fill Prometheus's folder with what these exporters would have said at these times."""
    times = (str(start), str(end), str(step))
    add_samples(folder, run(sys.executable, WORLDS, "past", *times, *instances, seconds=900))


def add_samples(folder: Path, samples: str) -> None:
    """Put samples, in OpenMetrics' text with times, into the folder of a Prometheus that doesn't run."""
    file = folder.with_suffix(".txt")
    file.write_text(samples, encoding="utf-8")
    # One large block: for many small ones the samples would be read once for each.
    arguments = ("--max-block-duration=1000h", file, folder)
    run(newest("promtool"), "tsdb", "create-blocks-from", "openmetrics", *arguments)
    file.unlink()


@contextmanager
def prometheus(
    folder: Path,
    data: Path,
    *,
    rules: Sequence[Path] = (),
    targets: dict[str, int] | None = None,
    lookback: str = "5m",
) -> Iterator[Prometheus]:
    """Run Prometheus over the data in a folder, with these rules, scraping these instances' ports."""
    port = free_port()
    static = [
        {"targets": [f"127.0.0.1:{at}"], "labels": {"instance": instance}} for instance, at in (targets or {}).items()
    ]
    config = {
        # Time enough for a page on a machine that is busy.
        "global": {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [{"job_name": JOB, "static_configs": static}],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = (
        newest("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=60d",
        f"--query.lookback-delta={lookback}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    url = f"http://127.0.0.1:{port}"
    with process(*command, log=folder / "prometheus.log"):
        eventually(lambda: _ready(url), "Prometheus is ready", seconds=60)
        yield Prometheus(url)


def _ready(url: str) -> bool:
    try:
        with _DIRECT.open(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def exporters(folder: Path) -> Iterator[dict[str, int]]:
    """Run `pbs-exporter demo`, and exporters in front of the other simulated PBS; gives their ports by instance."""
    port = free_port()
    variables = environment(PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS=f"127.0.0.1:{port}", PYTHONPATH=os.fspath(ROOT))
    with ExitStack() as stack:
        stack.enter_context(process(_BIN / "pbs-exporter", "demo", log=folder / "demo.log", env=variables))
        ports = {DEMO: port}
        for instance in (SECOND, BARE):
            command = (sys.executable, WORLDS, "live", instance)
            running = stack.enter_context(process(*command, log=folder / f"{instance}.log"))
            assert running.stdout is not None
            ports[instance] = int(running.stdout.readline())
        yield ports
