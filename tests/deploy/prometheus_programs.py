"""Prometheus and Alertmanager as programs: the oldest and the newest that the rules are for."""

from pathlib import Path

from tests.deploy.machine import cached, run

# The newest that Debian has. Its release files are past their date, and that is no fault here.
_NEWEST = (
    "mmdebstrap",
    "--quiet",
    "--variant=extract",
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "--include=prometheus,promtool,prometheus-alertmanager",
    "forky",
)


def newest(program: str) -> Path:
    """Give the path of `prometheus`, `promtool`, `prometheus-alertmanager` or `amtool`: Prometheus 3.5 and its like."""
    return cached("prometheus", _NEWEST, lambda folder: _unpack(folder / "root")) / "root" / "usr" / "bin" / program


def oldest(program: str) -> Path:
    """Give the same of Debian 12, which has Prometheus 2.42."""
    return Path("/usr/bin") / program


def _unpack(root: Path) -> None:
    run(*_NEWEST, root)
