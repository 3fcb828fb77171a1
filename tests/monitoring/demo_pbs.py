"""Simulated PBS with their exporters, live and in the past. A generated world is a function of the time.

`python -m tests.monitoring.demo_pbs live INSTANCE` serves the metrics of one, and prints the port.
`python -m tests.monitoring.demo_pbs past START END STEP INSTANCE...` writes their past metrics, as OpenMetrics.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import TextIO

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import ExporterSettings, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.simulator import SimulatedPbs, World, demo_world
from pbs_exporter.simulator.world.layout import DAY, HOUR, Absence, SimulatedDatastore, add_group, datastore
from pbs_exporter.simulator.world.rhythm import Rhythm
from pbs_exporter.web.app import create_app

JOB = "pbs"
DEMO, SECOND, BARE = "pbs1.example.org", "pbs2.example.org", "pbs3.example.org"
OFFICE, LARGE = "pbs.example.org", "large.example.org"


SITES = {DEMO: "graz", SECOND: "vienna", BARE: "graz", OFFICE: "graz", LARGE: "linz"}
"""What the targets have as their label `site`."""


def _second(now: Callable[[], float]) -> World:
    return World(datastores=2, namespaces=2, groups=6, snapshots=7, seed=4, now=now, live=True)


def _bare(now: Callable[[], float]) -> World:
    world = World(datastores=1, namespaces=1, groups=0, now=now, live=True)
    (store,) = world.stores
    store.removable, store.mounted = True, False
    return world


def _office(now: Callable[[], float]) -> World:
    random = Random(7)  # noqa: S311 - a reproducible world
    stores = []
    for name, comment, share in (("main", "all guests", 0.61), ("archive", "older than a month", 0.83)):
        stores.append(_daily(name, comment, share, random))
    stores.append(_daily("cloud", "copies in a bucket", 0.3, random))
    stores[-1].backend = "s3"
    stores.append(_daily("usb", "rotated disk", 0.45, random))
    stores[-1].removable = True
    stores[-1].absence = Absence(Rhythm(5 * DAY, 2 * DAY, 36 * HOUR), None)
    guests = (("vm", "100", "web"), ("vm", "101", "mail"), ("vm", "102", "shop"), ("ct", "200", "dns"))
    for store, namespace in (("main", ""), ("main", "prod"), ("archive", "prod"), ("cloud", "copies"), ("usb", "")):
        (into,) = (one for one in stores if one.name == store)
        for backup_type, backup_id, comment in guests[: 2 if store == "usb" else None]:
            rhythm = Rhythm(DAY, random.randrange(20 * HOUR, 27 * HOUR) % DAY, random.randrange(120, 1500))
            add_group(
                into,
                namespace,
                backup_type,
                backup_id,
                rhythm=rhythm,
                keep=random.choice((7, 14, 30)),
                comment=comment,
                encrypted=namespace == "copies",
                random=random,
            )
    return World(now=now, live=True, stores=stores)


def _daily(name: str, comment: str, share: float, random: Random) -> SimulatedDatastore:
    gc = Rhythm(DAY, random.randrange(DAY), HOUR)
    made = datastore(name, gc=gc, verify=Rhythm(DAY, random.randrange(DAY), 2 * HOUR))
    made.comment, made.share, made.total = comment, share, 8 << 40
    return made


GROWTH = {"main": 0.0035, "archive": 0.0055}
"""The daily growth of the office's datastores, as a share of their size."""

WORLDS: dict[str, Callable[[Callable[[], float]], World]] = {
    DEMO: demo_world,
    SECOND: _second,
    BARE: _bare,
    OFFICE: _office,
    LARGE: lambda now: World(datastores=2, namespaces=2, groups=125, snapshots=7, now=now, live=True),
}
"""The worlds by instance.

- `DEMO` is the world that `pbs-exporter demo` serves.
- `SECOND` has daily backups.
- `BARE` has a single datastore, whose disk isn't mounted, few collectors, and no failures.
- `OFFICE` is for pictures. Its datastores fill.
- `LARGE` has 500 groups.
"""

_ASKED = {BARE: {"host", "datastores"}}
"""The enabled collectors by instance. Other instances have all."""


class _Past:
    """A clock that a test sets, and that keeps running."""

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
    # Without the limit, most of the metrics would be about single snapshots.
    secret = Secret(pbs.secret)
    target = TargetSettings(endpoint=pbs.endpoint, token_id=pbs.token_id, token_secret=secret, snapshot_history_limit=2)
    asked = _ASKED.get(instance)
    collectors = {collector.name: asked is None or collector.name in asked for collector in COLLECTORS}
    exporter = ExporterSettings(process_metrics=asked is None)
    main = TargetConfig(pbs=target, collectors=collectors)
    return create_app(Settings(exporter=exporter, main=main), COLLECTORS, clock)


async def past(start: float, end: float, step: float, instances: list[str], out: TextIO) -> None:
    """Write samples `step` seconds apart."""
    for instance in instances:
        at = start
        running = _Past(at)
        world = WORLDS[instance](running.now)
        before = {store.name: store.share for store in world.stores}
        pbs = SimulatedPbs(world)
        async with pbs, TestClient(TestServer(_app(instance, pbs, running.clock))) as client:
            while at <= end:
                running.set(at)
                for store in world.stores if instance == OFFICE else ():
                    # The world already has the current value.
                    store.share = before[store.name] - GROWTH.get(store.name, 0) * (time.time() - at) / DAY
                async with client.get("/metrics") as answer:
                    page = await answer.text()
                target = f'job="{JOB}",instance="{instance}",site="{SITES[instance]}"'
                out.writelines(_samples(page, target, at))
                out.write(f"up{{{target}}} 1 {at:.3f}\n")
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
    """Serve the metrics of that world until the process ends."""
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
    log.configure("info", "logfmt")
    match sys.argv[1:]:
        case ["past", start, end, step, *names]:
            asyncio.run(past(float(start), float(end), float(step), names, sys.stdout))
        case ["live", name]:
            asyncio.run(live(name))
        case _:
            sys.exit("live INSTANCE, or past START END STEP INSTANCE...")
