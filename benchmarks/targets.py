"""Measures one exporter of many PBS. All targets are the same simulated PBS, under names of their own."""

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from benchmarks.benchmark import Benchmark, Measure
from benchmarks.client import Client
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_MS = 1_000
_SICK_SECONDS = 2.0
_MAIN = "PBS_EXPORTER__PBS__"


def at_once(number: int) -> Measure:
    """Return what measures scrapes of that number of targets at once, compared with scrapes of one alone."""

    def measure(benchmark: Benchmark, program: Program) -> Measurement:
        names = [f"t{target}" for target in range(number)]
        with (
            PbsProcess(benchmark.input) as pbs,
            ExporterProcess(_with_targets(program, {key: {} for key in names}), pbs.address) as exporter,
            ThreadPoolExecutor(number) as threads,
        ):
            clients = [Client(exporter.url) for _ in names]
            alone, together = [], []
            for _ in range(benchmark.runs + 1):
                alone.append(_scrape(clients[0], names[0]))
                together.append(max(threads.map(_scrape, clients, names)))
            for client in clients:
                client.close()
            memory = exporter.settled_memory()
        # The first round is a warm-up.
        return Measurement(
            unit="ms",
            values=together[1:],
            compared_with=alone[1:],
            peak=memory["VmHWM"],
            steady=memory["VmRSS"],
            details=f"the slowest of {number} targets; compared with one alone",
        )

    return measure


def well_ones(benchmark: Benchmark, program: Program) -> Measurement:
    """Measure a target while others hang in connect, in TLS and in the body, and one is large; compared with before."""
    with PbsProcess(benchmark.input) as pbs, socket.create_server(("127.0.0.1", 0)) as deaf:
        # Nobody accepts: the connection is made by the system, and the TLS handshake hangs.
        hanging = {"ENDPOINT": f"https://127.0.0.1:{deaf.getsockname()[1]}"}
        targets = {
            "well": {"FILTERS__GROUPS": "vm/10*", "LISTING_MODE": "changes"},
            "large": {"SNAPSHOT_HISTORY_LIMIT": "0", "LISTING_MODE": "full"},
            "tls": hanging,
            "nowhere": {"ENDPOINT": "https://192.0.2.1:8007"},
        }
        with (
            ExporterProcess(_with_targets(program, targets), pbs.address) as exporter,
            ThreadPoolExecutor(4) as threads,
        ):
            clients = {name: Client(exporter.url) for name in targets}
            _scrape(clients["well"], "well")
            alone = [_scrape(clients["well"], "well") for _ in range(benchmark.runs)]
            beside: list[float] = []
            sick = [threads.submit(_scrape, clients[name], name) for name in ("large", "tls", "nowhere")]
            while not all(scrape.done() for scrape in sick) or len(beside) < benchmark.runs:
                beside.append(_scrape(clients["well"], "well"))
            for client in clients.values():
                client.close()
            memory = exporter.settled_memory()
    return Measurement(
        unit="ms",
        values=beside,
        compared_with=alone,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details="scrapes of a well target beside a large one and two that hang; compared with those before",
    )


def path(wanted: str, number: int, *, scraped: bool = False) -> Measure:
    """Return what measures a path of an exporter with that number of targets, after a scrape of each or before any."""

    def measure(benchmark: Benchmark, program: Program) -> Measurement:
        targets: dict[str, dict[str, str]] = {f"t{target}": {} for target in range(number)}
        with (
            PbsProcess(benchmark.input) as pbs,
            ExporterProcess(_with_targets(program, targets), pbs.address) as exporter,
        ):
            for name in targets if scraped else ():
                _scrape(exporter.client, name)
            times = [exporter.client.get(wanted).seconds * _MS for _ in range(benchmark.runs)]
            memory = exporter.settled_memory()
        return Measurement(unit="ms", values=times, peak=memory["VmHWM"], steady=memory["VmRSS"], details=wanted)

    return measure


def _scrape(client: Client, name: str) -> float:
    """Return the time of a scrape in ms."""
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(_SICK_SECONDS)} if name in ("tls", "nowhere") else {}
    return client.get(f"/probe?target={name}", **headers).seconds * _MS


def _with_targets(program: Program, targets: Mapping[str, Mapping[str, str]]) -> Program:
    """Return the program with these targets, whose keys differ from those of `[pbs]`, and no PBS of `/metrics`."""
    base = {key.removeprefix(_MAIN): value for key, value in program.environment.items() if key.startswith(_MAIN)}
    environment = {key: value for key, value in program.environment.items() if not key.startswith(_MAIN)}
    for name, own in targets.items():
        keys: Sequence[tuple[str, str]] = [*{**base, **own}.items()]
        environment |= {f"PBS_EXPORTER__TARGETS__{name.upper()}__{key}": value for key, value in keys}
    return msgspec.structs.replace(program, environment=environment)
