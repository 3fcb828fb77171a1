"""Check real pages with `promtool check metrics`: `make lint-metrics`.

The pages are those of the recorded servers and of the demo. The check fails on any finding that isn't allowed below,
and on an allowed one that no longer occurs.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.config import ExporterSettings
from pbs_exporter.simulator import Replay, SimulatedPbs, Source, demo_world
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.paths import RECORDINGS, recorded_time, recording_file

ALLOWED = ("pbs_snapshot_count", "pbs_task_total")
"""Gauges whose names the specification fixes, although `_count` and `_total` are for other types."""


def main() -> int:
    """Check every page. Return 0 if there are no findings."""
    promtool = shutil.which("promtool")
    if promtool is None:
        sys.stderr.write("lint-metrics: needs promtool (Debian: apt-get install prometheus)\n")
        return 1
    # The recordings contain failures, whose warnings don't matter here.
    log.configure("error", "logfmt")
    seen: set[str] = set()
    wrong = 0
    for name, source, clock in _sources():
        page = asyncio.run(_page(source, clock))
        for finding in _findings(promtool, page):
            metric = finding.partition(" ")[0]
            seen.add(metric)
            if metric not in ALLOWED:
                wrong += 1
                sys.stderr.write(f"{name}: {finding}\n")
    for metric in ALLOWED:
        if metric not in seen:
            wrong += 1
            sys.stderr.write(f"{metric} is allowed in {__file__}, and promtool finds nothing there any more\n")
    return 1 if wrong else 0


def _sources() -> Iterator[tuple[str, Source, Clock]]:
    for recording in RECORDINGS:
        yield recording, Replay(recording_file(recording)), FakeClock(recorded_time(recording)).clock
    yield "demo", demo_world(), Clock()


async def _page(source: Source, clock: Clock) -> str:
    async with SimulatedPbs(source, forbidden_delay=0) as pbs:
        settings = make_settings(pbs, collectors={"disks": True}, exporter=ExporterSettings(process_metrics=True))
        async with exporting(settings, clock) as exporter:
            # The exporter counts the requests for the first page, and shows them on the next one.
            await exporter.scrape()
            return (await exporter.scrape()).text


def _findings(promtool: str, page: str) -> list[str]:
    """Return promtool's lines about a page. Its exit code (0, 1 without a page, or 3) has no other information."""
    done = subprocess.run(  # noqa: S603 - the command's path is from PATH, and nothing else is given
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    if bool(done.returncode) != bool(lines):
        lines.append(f"promtool ended with {done.returncode}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
