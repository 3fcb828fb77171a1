"""Counts what PBS is asked by scrapes a minute apart. They run in this process, which sets its clock forward."""

import asyncio
from collections import Counter

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.benchmark import Benchmark
from benchmarks.measurement import Measurement
from benchmarks.programs import Program
from benchmarks.static_source import StaticSource
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import ExporterSettings, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.simulator import Answer, Call, SimulatedPbs
from pbs_exporter.simulator.answer import LoginFailure
from pbs_exporter.web.app import create_app

_SCRAPE_SECONDS = 60

_BACKUP_SECONDS = 600
_BACKUP_TAKES = 90

_STORE = "/admin/datastore/{store}"
_BACKGROUND = ("full listing of ", "slow collector ")


class _OneActive:
    """A PBS that stands still, except that a guest of its first datastore is backed up every ten minutes."""

    def __init__(self, source: StaticSource) -> None:
        self._source = source
        self._began = source.pbs_time()
        self.passed = 0.0

    def pbs_time(self) -> float:
        return self._began + self.passed

    def unauthorized(self, failure: LoginFailure) -> Answer:
        return self._source.unauthorized(failure)

    def answer(self, call: Call) -> Answer:
        if call.path != "/nodes/localhost/tasks":
            return self._source.answer(call)
        tasks = [self._backup(number) for number in range(-6, int(self.passed // _BACKUP_SECONDS) + 1)]
        return Answer.data([task for task in tasks if "endtime" not in task or ("running", "1") not in call.query])

    def _backup(self, number: int) -> dict[str, object]:
        start = int(self._began) + number * _BACKUP_SECONDS + _BACKUP_SECONDS // 2
        end = start + _BACKUP_TAKES
        return {
            "upid": f"UPID:pbs1:000003F2:00000E10:{number + 6:08X}:{start:08X}:backup:main\\x3avm-100:backup@pbs!pve:",
            "worker_type": "backup",
            "worker_id": "main:vm/100",
            "starttime": start,
            **({"endtime": end, "status": "OK"} if end <= self.pbs_time() else {}),
        }


def requests(benchmark: Benchmark, _: Program) -> Measurement:
    """Count the requests of `runs` scrapes, after a first one."""
    return asyncio.run(_requests(benchmark))


async def _requests(benchmark: Benchmark) -> Measurement:
    source = _OneActive(StaticSource(benchmark.input))
    clock = Clock(now=source.pbs_time, monotonic=lambda: source.passed)
    async with SimulatedPbs(source, tls=False) as pbs:
        given = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, **benchmark.settings}
        target = msgspec.convert({**given, "token_secret": Secret(pbs.secret)}, TargetSettings, strict=False)
        main = TargetConfig(pbs=target, collectors=DEFAULTS)
        settings = Settings(exporter=ExporterSettings(process_metrics=False), main=main)
        async with TestClient(TestServer(create_app(settings, COLLECTORS, clock))) as client:
            for number in range(benchmark.runs + 1):
                async with client.get("/metrics") as response:
                    text = await response.text()
                if "\npbs_up 1.0" not in text:
                    raise ValueError("PBS is down")
                await _in_the_background()
                if number == 0:
                    pbs.requests.clear()
                source.passed += _SCRAPE_SECONDS
        asked = Counter(request.template for request in pbs.requests)
        group = sum("backup-id" in request.query for request in pbs.requests)
    of = {
        "lists of namespaces": asked[f"{_STORE}/namespace"],
        "lists of groups": asked[f"{_STORE}/groups"],
        "listings of a namespace": asked[f"{_STORE}/snapshots"] - group,
        "listings of a group": group,
    }
    details = ", ".join(f"{number:,} {name}" for name, number in of.items())
    return Measurement(unit="requests", values=[float(asked.total())], details=f"{details}")


async def _in_the_background() -> None:
    while running := [task for task in asyncio.all_tasks() if task.get_name().startswith(_BACKGROUND)]:
        await asyncio.wait(running)
