"""Simulated PBS with their exporters, live and in the past: a generated world is a function of the time.

`python demo_worlds.py live INSTANCE` serves that one's metrics, on a port that it prints.
`python demo_worlds.py past START END STEP` writes what those with a past would have said at these times, as OpenMetrics.
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
DEMO, SECOND, BARE = "pbs1.example.org", "pbs2.example.org", "pbs3.example.org"
WITH_A_PAST = (DEMO, SECOND)


def _second(now: Callable[[], float]) -> World:
    return World(datastores=2, namespaces=2, groups=6, snapshots=7, seed=4, now=now, lives=True)


def _bare(now: Callable[[], float]) -> World:
    world = World(datastores=1, namespaces=1, groups=0, now=now, lives=True)
    (store,) = world.stores
    store.removable, store.mounted = True, False
    return world


WORLDS: dict[str, Callable[[Callable[[], float]], World]] = {DEMO: demo_world, SECOND: _second, BARE: _bare}
"""By instance: the demo's world, which `pbs-exporter demo` serves live; one with daily backups; and one with a single
datastore, a disk that isn't mounted, of which little is asked and where nothing goes wrong."""

_ASKED = {BARE: {"host", "datastores"}}
"""The collectors that are on; otherwise all are."""


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


def _app(instance: str, pbs: SimulatedPbs, clock: Clock | None = None) -> web.Application:
    # One row for each snapshot would be most of the page.
    secret = Secret(pbs.secret)
    target = TargetSettings(endpoint=pbs.endpoint, token_id=pbs.token_id, token_secret=secret, snapshot_history_limit=2)
    asked = _ASKED.get(instance)
    collectors = {collector.name: asked is None or collector.name in asked for collector in COLLECTORS}
    exporter = ExporterSettings(process_metrics=asked is None)
    return create_app(Settings(pbs=target, exporter=exporter, collectors=collectors), COLLECTORS, clock)


async def past(start: float, end: float, step: float, out: TextIO) -> None:
    """Write samples `step` seconds apart."""
    for instance in WITH_A_PAST:
        at = start
        running = _Past(at)
        pbs = SimulatedPbs(WORLDS[instance](running.now))
        async with pbs, TestClient(TestServer(_app(instance, pbs, running.clock))) as client:
            while at <= end:
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


async def live(instance: str) -> None:
    """Serve the metrics of that world, until somebody ends it."""
    async with SimulatedPbs(WORLDS[instance](time.time)) as pbs:
        runner = web.AppRunner(_app(instance, pbs))
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
        case ["past", start, end, step]:
            asyncio.run(past(float(start), float(end), float(step), sys.stdout))
        case ["live", name]:
            asyncio.run(live(name))
        case _:
            sys.exit("live INSTANCE, or past START END STEP")
