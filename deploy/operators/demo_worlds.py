"""Two simulated PBS with their exporters, live and in the past: a generated world is a function of the time.

`python demo_worlds.py live` serves the second one's metrics, on a port that it prints.
`python demo_worlds.py past SECONDS STEP` writes what both would have said since so many seconds ago, as OpenMetrics.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import ExporterSettings, Secret, Settings, TargetSettings
from pbs_exporter.simulator import SimulatedPbs, World, demo_world
from pbs_exporter.web import create_app

JOB = "pbs"
DEMO, SECOND = "pbs1.example.org", "pbs2.example.org"


def _second(now: Callable[[], float]) -> World:
    return World(datastores=2, namespaces=2, groups=6, snapshots=7, seed=4, now=now, lives=True)


WORLDS: dict[str, Callable[[Callable[[], float]], World]] = {DEMO: demo_world, SECOND: _second}
"""By instance: the demo's world, which `pbs-exporter demo` serves live, and a quiet one with daily backups."""


class _Past:
    """A clock that is set, and that runs on as long as something takes."""

    def __init__(self, now: float) -> None:
        self._ahead = now - time.time()
        self._behind = time.time() - time.monotonic()
        self.clock = Clock(now=self.now, monotonic=self._monotonic)

    def now(self) -> float:
        return time.time() + self._ahead

    def set(self, now: float) -> None:
        self._ahead = now - time.time()

    def _monotonic(self) -> float:
        return self.now() - self._behind


def _app(pbs: SimulatedPbs, clock: Clock | None = None) -> web.Application:
    # One row for each snapshot would be most of the page.
    secret = Secret(pbs.secret)
    target = TargetSettings(endpoint=pbs.endpoint, token_id=pbs.token_id, token_secret=secret, snapshot_history_limit=2)
    collectors = {collector.name: True for collector in COLLECTORS}
    return create_app(Settings(pbs=target, exporter=ExporterSettings(), collectors=collectors), COLLECTORS, clock)


async def past(seconds: float, step: float, out: TextIO) -> None:
    """Write samples from `seconds` ago until now, `step` seconds apart, of both exporters."""
    end = time.time()
    for instance, make in WORLDS.items():
        at = end - seconds
        running = _Past(at)
        pbs = SimulatedPbs(make(running.now))
        async with pbs, TestClient(TestServer(_app(pbs, running.clock))) as client:
            while at < end:
                running.set(at)
                async with client.get("/metrics") as answer:
                    page = await answer.text()
                out.writelines(_samples(page, f'job="{JOB}",instance="{instance}"', at))
                out.write(f'up{{job="{JOB}",instance="{instance}"}} 1 {at:.3f}\n')
                at += step
    out.write("# EOF\n")


def _samples(page: str, target: str, at: float) -> Iterator[str]:
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        name, labelled, rest = line.partition("{")
        if labelled:
            yield f"{name}{{{target},{rest} {at:.3f}\n"
        else:
            name, _, value = line.partition(" ")
            yield f"{name}{{{target}}} {value} {at:.3f}\n"


async def live() -> None:
    """Serve the second world's metrics, until somebody ends it."""
    async with SimulatedPbs(WORLDS[SECOND](time.time)) as pbs:
        runner = web.AppRunner(_app(pbs))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    # The log goes to standard error, as the exporter's does.
    log.configure(ExporterSettings())
    match sys.argv[1:]:
        case ["past", seconds, step]:
            asyncio.run(past(float(seconds), float(step), sys.stdout))
        case ["live"]:
            asyncio.run(live())
        case _:
            sys.exit("live, or past SECONDS STEP")
