"""Measures whether the exporter's memory grows."""

from statistics import median

from benchmarks.benchmark import Benchmark
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_STEPS = 10


def memory(benchmark: Benchmark, program: Program) -> Measurement:
    """Scrape `runs` times, and compare the memory in the last tenth of them with that in the first.

    Medians are compared, because one or two listings may be in memory after a scrape.
    """
    after: list[float] = []
    with PbsProcess(benchmark.input) as pbs, ExporterProcess(program, pbs.address) as exporter:
        response = None
        for _ in range(benchmark.runs):
            response = exporter.scrape(**benchmark.headers)
            after.append(exporter.memory()["VmRSS"])
        if response is not None:
            program.check(response.body.decode())
        end = exporter.memory()
    size = max(1, benchmark.runs // _STEPS)
    sizes = [median(after[start : start + size]) for start in range(0, len(after), size)]
    return Measurement(
        unit="MiB",
        values=[sizes[-1]],
        compared_with=[sizes[0]],
        peak=end["VmHWM"],
        steady=end["VmRSS"],
        details=f"median of each tenth of {benchmark.runs} scrapes: {', '.join(f'{size:.1f}' for size in sizes)}",
    )
