"""Measures the exporter's memory: whether it grows, and what scrapes at once take."""

from concurrent.futures import ThreadPoolExecutor
from statistics import median

from benchmarks.benchmark import Benchmark, Measure
from benchmarks.client import Client, Response
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_STEPS = 10
_ROUNDS = 5


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


def at_once(number: int) -> Measure:
    """Return what measures the peak of that number of scrapes at once, in a new process each time."""

    def measure(benchmark: Benchmark, program: Program) -> Measurement:
        peaks, after = [], []
        with PbsProcess(benchmark.input) as pbs, ThreadPoolExecutor(number) as threads:
            # The simulated PBS caches this answer.
            pbs.listing()
            for _ in range(benchmark.runs):
                with ExporterProcess(program, pbs.address) as exporter:
                    clients = [Client(exporter.url) for _ in range(number)]
                    responses: list[Response] = []
                    for _ in range(_ROUNDS):
                        responses = list(threads.map(exporter.scrape, clients))
                    for client, response in zip(clients, responses, strict=True):
                        program.check(response.body.decode())
                        client.close()
                    memory = exporter.memory()
                    peaks.append(memory["VmHWM"])
                    after.append(memory["VmRSS"])
        return Measurement(
            unit="MiB",
            values=peaks,
            peak=max(peaks),
            steady=max(after),
            details=f"{_ROUNDS} times {number} scrapes at once, in each of {benchmark.runs} processes",
        )

    return measure
