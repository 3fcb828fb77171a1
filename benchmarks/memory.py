"""Measures whether the exporter's memory grows."""

from benchmarks.processes import Exporter, Pbs
from benchmarks.programs import Program
from benchmarks.results import Result
from benchmarks.row import Row

_STEPS = 10


def memory(row: Row, program: Program) -> Result:
    """Scrape `runs` times, and compare the memory after all of them with that after the first tenth."""
    sizes = []
    with Pbs(row.input) as pbs, Exporter(program, pbs.address) as exporter:
        page = None
        for number in range(1, row.runs + 1):
            page = exporter.scrape(**row.headers)
            if number * _STEPS % row.runs == 0:
                sizes.append(exporter.memory()["VmRSS"])
        if page is not None:
            program.judge(page.body.decode())
        end = exporter.memory()
    return Result(
        unit="MiB",
        values=[sizes[-1]],
        compared_with=[sizes[0]],
        peak=end["VmHWM"],
        steady=end["VmRSS"],
        details=f"after each tenth of {row.runs} scrapes: {', '.join(f'{size:.1f}' for size in sizes)}",
    )
