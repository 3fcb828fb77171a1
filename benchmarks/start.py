"""Measures the start of the exporter, and its memory after the first scrape."""

import time
from statistics import median

from benchmarks.benchmark import Benchmark
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program


def start(benchmark: Benchmark, program: Program) -> Measurement:
    """Start it `runs` times until `/health` answers, and scrape once. The first start isn't counted."""
    times, cpu, peaks, after = [], [], [], []
    with PbsProcess(benchmark.input) as pbs:
        for _ in range(benchmark.runs + 1):
            began = time.perf_counter()
            with ExporterProcess(program, pbs.address) as exporter:
                exporter.client.get("/health")
                times.append((time.perf_counter() - began) * 1_000)
                cpu.append(exporter.cpu_seconds() * 1_000)
                program.check(exporter.scrape().body.decode())
                memory = exporter.settled_memory()
                peaks.append(memory["VmHWM"])
                after.append(memory["VmRSS"])
    return Measurement(
        unit="ms",
        values=times[1:],
        peak=median(peaks[1:]),
        steady=median(after[1:]),
        details=f"{min(cpu[1:]):.0f} to {max(cpu[1:]):.0f} ms of CPU, median {median(cpu[1:]):.0f}",
    )
