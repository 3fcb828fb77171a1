"""Measures the latency of `/health` during scrapes."""

import threading
import time

import msgspec

from benchmarks.benchmark import Benchmark
from benchmarks.client import Client
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_MS = 1_000
_PAUSE_SECONDS = 0.002


_SCRAPE_TIMEOUT = {"X-Prometheus-Scrape-Timeout-Seconds": "15"}


def health_in_a_flood(benchmark: Benchmark, program: Program) -> Measurement:
    """Measure like `health`, where an answer of PBS is far too large. What that costs the scrape doesn't matter."""
    benchmark = msgspec.structs.replace(benchmark, headers=_SCRAPE_TIMEOUT)
    return health(benchmark, msgspec.structs.replace(program, reject=""))


def health(benchmark: Benchmark, program: Program) -> Measurement:
    """Scrape `runs` times, and request `/health` repeatedly at the same time. The first scrape is included."""
    with PbsProcess(benchmark.input) as pbs, ExporterProcess(program, pbs.address) as exporter:
        # The simulated PBS caches this answer.
        pbs.listing()
        health_client = Client(exporter.url)
        times: list[float] = []
        done = threading.Event()

        def request_health() -> None:
            while not done.is_set():
                times.append(health_client.get("/health").seconds * _MS)
                time.sleep(_PAUSE_SECONDS)

        thread = threading.Thread(target=request_health)
        thread.start()
        try:
            response = None
            for _ in range(benchmark.runs):
                response = None
                response = exporter.scrape(**benchmark.headers)
        finally:
            done.set()
            thread.join()
            health_client.close()
        if response is not None:
            program.check(response.body.decode())
        memory = exporter.settled_memory()
    return Measurement(
        unit="ms",
        values=times,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details=f"{len(times):,} requests during {benchmark.runs} scrapes",
    )
