"""Measures scrapes."""

import json
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.benchmark import Benchmark
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_MS = 1_000
_MB = 1_000_000


def scrapes(benchmark: Benchmark, program: Program) -> Measurement:
    """Scrape once without measuring and `runs` times with it, and check the last response."""
    with PbsProcess(benchmark.input) as pbs, ExporterProcess(program, pbs.address) as exporter:
        listing = pbs.listing() if benchmark.compared else b""
        response = exporter.scrape(**benchmark.headers)
        times, loads, seen = [], [], []
        for _ in range(benchmark.runs):
            pbs.request_stats()
            response = exporter.scrape(**benchmark.headers)
            seen.append(pbs.request_stats())
            times.append(response.seconds * _MS)
            if listing:
                loads.append(loading(listing) * _MS)
        memory = exporter.memory()
        if response.encoding:
            details = f"{len(response.body) / _MB:.2f} MB of {response.encoding}"
        else:
            text = response.body.decode()
            program.check(text)
            samples = sum(not line.startswith("#") for line in text.splitlines())
            details = f"{samples:,} samples"
    parts = [details, f"{_span([one.requests for one in seen])} requests"]
    if benchmark.input.latency:
        parts.append(f"{_span([one.rounds for one in seen])} rounds")
    if benchmark.input.deflate and any(one.deflate for one in seen):
        parts.append("deflated by PBS")
    if loads:
        parts.append(f"{len(listing) / _MB:.1f} MB of JSON, json.loads {median(loads):.0f} ms")
    return Measurement(
        unit="ms",
        values=times,
        compared_with=loads,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details="; ".join(parts),
    )


def loading(body: bytes) -> float:
    """Return the time that `json.loads` takes for a body, in seconds."""
    started = time.perf_counter()
    json.loads(body)
    return time.perf_counter() - started


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"
