"""Measures how long `/health` takes while scrapes are under way."""

import threading
import time

from benchmarks.client import Client
from benchmarks.processes import Exporter, Pbs
from benchmarks.programs import Program
from benchmarks.results import Result
from benchmarks.row import Row

_MS = 1_000
_PAUSE_SECONDS = 0.002


def health(row: Row, program: Program) -> Result:
    """Scrape `runs` times, and meanwhile ask for `/health` over and over. The first scrape isn't left out."""
    with Pbs(row.input) as pbs, Exporter(program, pbs.address) as exporter:
        # PBS makes its answer once, and keeps it.
        pbs.listing()
        other = Client(exporter.url)
        times: list[float] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                times.append(other.get("/health").seconds * _MS)
                time.sleep(_PAUSE_SECONDS)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            page = None
            for _ in range(row.runs):
                page = None
                page = exporter.scrape(**row.headers)
        finally:
            done.set()
            thread.join()
            other.close()
        if page is not None:
            program.judge(page.body.decode())
        memory = exporter.memory()
    return Result(
        unit="ms",
        values=times,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details=f"{len(times):,} requests during {row.runs} scrapes",
    )
