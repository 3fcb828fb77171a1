"""Measures scrapes."""

import json
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.processes import Exporter, Pbs
from benchmarks.programs import Program
from benchmarks.results import Result
from benchmarks.row import Row

_MS = 1_000
_MB = 1_000_000


def scrapes(row: Row, program: Program) -> Result:
    """Scrape `runs` times after a first time that isn't counted, and read the last page."""
    with Pbs(row.input) as pbs, Exporter(program, pbs.address) as exporter:
        listing = pbs.listing() if row.compared else b""
        page = exporter.scrape(**row.headers)
        times, loads, seen = [], [], []
        for _ in range(row.runs):
            pbs.seen()
            page = exporter.scrape(**row.headers)
            seen.append(pbs.seen())
            times.append(page.seconds * _MS)
            if listing:
                loads.append(loading(listing) * _MS)
        memory = exporter.memory()
        if page.encoding:
            details = f"{len(page.body) / _MB:.2f} MB of {page.encoding}"
        else:
            text = page.body.decode()
            program.judge(text)
            samples = sum(not line.startswith("#") for line in text.splitlines())
            details = f"{samples:,} samples"
    parts = [details, f"{_span([one.requests for one in seen])} requests"]
    if row.input.latency:
        parts.append(f"{_span([one.rounds for one in seen])} rounds")
    if row.input.deflate and any(one.deflate for one in seen):
        parts.append("deflated by PBS")
    if loads:
        parts.append(f"{len(listing) / _MB:.1f} MB of JSON, json.loads {median(loads):.0f} ms")
    return Result(
        unit="ms",
        values=times,
        compared_with=loads,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details="; ".join(parts),
    )


def loading(body: bytes) -> float:
    """Give the seconds that `json.loads` takes for a body."""
    started = time.perf_counter()
    json.loads(body)
    return time.perf_counter() - started


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"
