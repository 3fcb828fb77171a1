"""Measures the exporter's memory: whether it grows, and what scrapes at once take."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarks.benchmark import Benchmark, Measure
from benchmarks.client import Client, Response
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program

_STEPS = 10
_ROUNDS = 5
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_WITH_MEMORY = (
    "import sys; from pbs_exporter.__main__ import main\n"
    "code = main()\n"
    "print(open('/proc/self/status').read())\n"
    "sys.exit(code)"
)


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
        end = exporter.settled_memory()
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
                    memory = exporter.settled_memory()
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


def history(benchmark: Benchmark, program: Program) -> Measurement:
    """Run `history` for all that PBS keeps. A value is its peak less that of a run for an hour."""
    with PbsProcess(benchmark.input) as pbs, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "past.om"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PBS_")}
        environment |= program.variables(pbs.address, 0)

        def peak(*span: str) -> float:
            command = [sys.executable, "-c", _WITH_MEMORY, "history", *span, f"--output={file}", "--label=job=pbs"]
            ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)  # noqa: S603 - our own command
            found = _PEAK.search(ended.stdout)
            if ended.returncode or found is None:
                raise ValueError(f"history failed: {ended.stderr[-2000:]}")
            return int(found[1]) / 1024

        pairs = [(peak("--since=48h", "--until=47h"), peak()) for _ in range(benchmark.runs)]
        size = file.stat().st_size
    return Measurement(
        unit="MiB",
        values=[whole - hour for hour, whole in pairs],
        peak=max(whole for _, whole in pairs),
        details=f"{size / 1e6:.1f} MB of OpenMetrics",
    )
