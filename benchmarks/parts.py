"""Measures two parts alone, in this process: the encoder and the decoder. No server, no exporter."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

from prometheus_client import generate_latest

from benchmarks.inputs import Input
from benchmarks.programs import Program
from benchmarks.results import Result
from benchmarks.row import Row
from benchmarks.scrapes import loading
from benchmarks.source import Still
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.pbs.http.decoding import many
from pbs_exporter.pbs.http.row_stream import RowStream
from pbs_exporter.pbs.models import Snapshot
from pbs_exporter.pbs.snapshots.group_summary import grouped
from pbs_exporter.simulator import Call

_MS, _US = 1_000, 1_000_000
_PIECE = 64 * 1024
_SECOND = 1_795_000_000


def encoder(row: Row, _: Program) -> Result:
    """Write a registry with as many `pbs_snapshot_info` as the input has snapshots; in µs a sample."""
    page = Page()
    for group in range(row.input.groups):
        labels = ("main", "prod", "vm", str(100 + group))
        for number in range(row.input.snapshots):
            page.add(
                SnapshotsCollector.INFO(1, *labels, str(_SECOND + number), f"guest-{group}", "backup@pbs!pve", "ok")
            )
    registry, chosen = page.registry(), formats.choose("")
    if formats.render(registry, chosen) != generate_latest(registry):
        raise ValueError("the encoder's page isn't generate_latest's")
    per_sample = _US / row.input.total
    return Result(
        unit="µs",
        values=[_seconds(lambda: formats.render(registry, chosen)) * per_sample for _ in range(row.runs)],
        # A few are enough: it takes a second each time.
        compared_with=[_seconds(lambda: generate_latest(registry)) * per_sample for _ in range(min(row.runs, 3))],
        details=f"{row.input.total:,} samples, compared with generate_latest",
    )


def structs(row: Row, _: Program) -> Result:
    """Decode a listing into Structs piece by piece as it arrives."""
    body = _listing(row.input)
    decode = many(Snapshot)

    def arrive() -> None:
        stream = RowStream(decode)
        for piece in _pieces(body):
            stream.feed(piece)
        stream.finish()

    return _decoded(row, body, arrive)


def sums(row: Row, _: Program) -> Result:
    """Decode it so, and add up its groups: all that a scrape does with a listing before it makes samples."""
    body = _listing(row.input)
    decode = grouped(int(row.settings.get("snapshot_history_limit", "0")))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in _pieces(body):
            yield piece

    async def arrive() -> None:
        await decode(pieces())

    with asyncio.Runner() as runner:
        return _decoded(row, body, lambda: runner.run(arrive()))


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


def _decoded(row: Row, body: bytes, decode: Callable[[], object]) -> Result:
    decode()
    values, loads = [], []
    for _ in range(row.runs):
        values.append(_seconds(decode) * _MS)
        loads.append(loading(body) * _MS)
    return Result(unit="ms", values=values, compared_with=loads, details=f"{len(body) / 1e6:.1f} MB of JSON")


def _listing(size: Input) -> bytes:
    return Still(size).answer(Call("/admin/datastore/main/snapshots")).body


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
