"""Measures whether the exporter's memory grows."""

from statistics import median

from benchmarks.processes import Exporter, Pbs
from benchmarks.programs import Program
from benchmarks.results import Result
from benchmarks.row import Row

_STEPS = 10


def memory(row: Row, program: Program) -> Result:
    """Scrape `runs` times, and compare the memory during the last tenth of them with that during the first.

    The median of each tenth: whether one listing or two are there right after a scrape is chance.
    """
    after: list[float] = []
    with Pbs(row.input) as pbs, Exporter(program, pbs.address) as exporter:
        page = None
        for _ in range(row.runs):
            page = exporter.scrape(**row.headers)
            after.append(exporter.memory()["VmRSS"])
        if page is not None:
            program.judge(page.body.decode())
        end = exporter.memory()
    size = max(1, row.runs // _STEPS)
    sizes = [median(after[start : start + size]) for start in range(0, len(after), size)]
    return Result(
        unit="MiB",
        values=[sizes[-1]],
        compared_with=[sizes[0]],
        peak=end["VmHWM"],
        steady=end["VmRSS"],
        details=f"median of each tenth of {row.runs} scrapes: {', '.join(f'{size:.1f}' for size in sizes)}",
    )
