"""The programs of Prometheus and Alertmanager, in the oldest and the newest supported version."""

from pathlib import Path

from tests.support.cache import cached
from tests.support.commands import run

# The newest that Debian has. The dates of its release files may have expired, which is no error here.
_NEWEST = (
    "mmdebstrap",
    "--quiet",
    "--variant=extract",
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "--include=prometheus,promtool,prometheus-alertmanager",
    "forky",
)
_VICTORIA = tuple("--include=victoria-metrics" if part.startswith("--include") else part for part in _NEWEST)


def newest(program: str) -> Path:
    """Return the path of `prometheus`, `promtool`, `prometheus-alertmanager` or `amtool`, of Prometheus 3.5's time."""
    return cached("prometheus", _NEWEST, lambda folder: _unpack(folder / "root")) / "root" / "usr" / "bin" / program


def oldest(program: str) -> Path:
    """Return the path of the same program in Debian 12, which has Prometheus 2.42."""
    return Path("/usr/bin") / program


def victoria(program: str) -> Path:
    """Return the path of `victoria-metrics` or `vmagent`, of the same time."""

    def unpack(folder: Path) -> None:
        run(*_VICTORIA, folder / "root")

    return cached("victoria", _VICTORIA, unpack) / "root" / "usr" / "bin" / program


def _unpack(root: Path) -> None:
    run(*_NEWEST, root)
