"""A real Prometheus and a real Alertmanager on the loopback address, and their APIs."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import yaml

from tests.monitoring.rule_files import ALERTMANAGER_FILE
from tests.support.commands import process, run
from tests.support.program import closed_port
from tests.support.prometheus_programs import newest
from tests.support.waiting import poll

HOST = "127.0.0.1"
_KEPT, _DATA = "60d", "data"

Labels = dict[str, str]
Series = list[dict[str, Any]]
"""Series in Prometheus's form: each has `metric`, and `value` or `values`."""


class Alert(NamedTuple):
    """An alert in Alertmanager."""

    labels: Labels
    annotations: Labels
    suppressed: bool

    @property
    def name(self) -> str:
        return self.labels["alertname"]

    @property
    def instance(self) -> str:
        return self.labels.get("instance", "")

    def __str__(self) -> str:
        rest = (f'{name}="{value}"' for name, value in sorted(self.labels.items()) if name not in _NAMED)
        return f"{self.name}{{{', '.join(rest)}}}"


_NAMED = ("alertname", "instance", "job")


class Server:
    """An HTTP API on the loopback address."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and text of a page. Raise `OSError` if nothing answers."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self, path: str = "/-/ready") -> bool:
        """Whether it answers with 200."""
        try:
            return self.get(path)[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def json(self, path: str) -> Any:
        status, text = self.get(path)
        assert status == http.HTTPStatus.OK, f"{path}: {status} {text}"
        return json.loads(text)


class Prometheus(Server):
    """A running Prometheus."""

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Return the instant vector of an expression, as labels and values."""
        return [(row["metric"], float(row["value"][1])) for row in self.instant(expression)]

    def instant(self, expression: str, at: float | None = None) -> Series:
        """Return an expression's series now, or at a time. Raise `AssertionError` with Prometheus's error."""
        return self._ask("query", {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"}))

    def range(self, expression: str, *, start: float, end: float, step: float) -> Series:
        """Return an expression's series over time. Raise as `instant`."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return self._ask("query_range", {"query": expression} | times)

    def _ask(self, path: str, parameters: Mapping[str, str]) -> Series:
        result: Series = self.json(f"/api/v1/{path}?{urlencode(parameters)}")["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their health."""
        groups = self.json("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


class Alertmanager(Server):
    """A running Alertmanager."""

    def alerts(self) -> list[Alert]:
        """Return the alerts that fire, with the inhibited ones."""
        return [
            Alert(row["labels"], row["annotations"], row["status"]["state"] == "suppressed")
            for row in self.json("/api/v2/alerts")
        ]


@contextmanager
def alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """Run the newest Alertmanager with the shipped configuration for the duration of the block."""
    running = Alertmanager(closed_port())
    command = (
        newest("prometheus-alertmanager"),
        f"--config.file={ALERTMANAGER_FILE}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={running.address}",
        "--cluster.listen-address=",
    )
    with process(*command, log=folder / "alertmanager.log"):
        poll(running.ready, f"Alertmanager: {folder / 'alertmanager.log'}")
        yield running


def add_samples(folder: Path, samples: str) -> None:
    """Add samples (OpenMetrics text with timestamps) to the data of the Prometheus that will run in this folder."""
    file = folder / "samples.txt"
    file.write_text(samples, encoding="utf-8")
    # One large block, because promtool reads all samples once per block.
    make = ("tsdb", "create-blocks-from", f"--max-block-duration={_KEPT}", "openmetrics", file, folder / _DATA)
    run(newest("promtool"), *make)
    file.unlink()


@contextmanager
def prometheus(
    folder: Path,
    configuration: Mapping[str, Any],
    *,
    program: Path | None = None,
    options: Sequence[str] = (),
    kept: str = _KEPT,
) -> Iterator[Prometheus]:
    """Run Prometheus (the newest, or `program`) in a folder for the duration of the block."""
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(dict(configuration)))
    running = Prometheus(closed_port())
    command: tuple[str | Path, ...] = (
        program or newest("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / _DATA}",
        f"--storage.tsdb.retention.time={kept}",
        f"--web.listen-address={running.address}",
        *options,
    )
    with process(*command, log=folder / "prometheus.log"):
        poll(running.ready, f"Prometheus: {folder / 'prometheus.log'}")
        yield running
