"""Measures the encoder, the decoder and the reading of settings in this process, without a server."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import generate_latest

from benchmarks.benchmark import Benchmark
from benchmarks.inputs import Input
from benchmarks.measurement import Measurement
from benchmarks.programs import Program
from benchmarks.scrapes import loading
from benchmarks.static_source import StaticSource
from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.config import load
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


def encoder(benchmark: Benchmark, _: Program) -> Measurement:
    """Render one `pbs_snapshot_info` per snapshot of the input; in µs per sample."""
    page = Page()
    for group in range(benchmark.input.groups):
        labels = ("main", "prod", "vm", str(100 + group))
        for number in range(benchmark.input.snapshots):
            page.add(
                SnapshotsCollector.INFO(1, *labels, str(_SECOND + number), f"guest-{group}", "backup@pbs!pve", "ok")
            )
    registry, chosen = page.registry(), formats.choose("")
    if b"".join(formats.render(registry, chosen)) != generate_latest(registry):
        raise ValueError("the encoder's page isn't generate_latest's")
    per_sample = _US / benchmark.input.total
    return Measurement(
        unit="µs",
        values=[_seconds(lambda: formats.render(registry, chosen)) * per_sample for _ in range(benchmark.runs)],
        # At most three runs, because each takes a second.
        compared_with=[_seconds(lambda: generate_latest(registry)) * per_sample for _ in range(min(benchmark.runs, 3))],
        details=f"{benchmark.input.total:,} samples, compared with generate_latest",
    )


def structs(benchmark: Benchmark, _: Program) -> Measurement:
    """Decode a listing into Structs in pieces, as it arrives."""
    body = _listing(benchmark.input)
    decode = many(Snapshot)

    def arrive() -> None:
        stream = RowStream(decode)
        for piece in _pieces(body):
            stream.feed(piece)
        stream.finish()

    return _decoded(benchmark, body, arrive)


def sums(benchmark: Benchmark, _: Program) -> Measurement:
    """Decode a listing and summarize its groups: all that a scrape does with it before it creates samples."""
    body = _listing(benchmark.input)
    decode = grouped(int(benchmark.settings.get("snapshot_history_limit", "0")))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in _pieces(body):
            yield piece

    async def arrive() -> None:
        await decode(pieces())

    with asyncio.Runner() as runner:
        return _decoded(benchmark, body, lambda: runner.run(arrive()))


def settings(number: int) -> Callable[[Benchmark, Program], Measurement]:
    """Return what measures reading settings with that number of targets, compared with ten times a tenth of them."""

    def measure(benchmark: Benchmark, _: Program) -> Measurement:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{size}.toml") for size in (number, number // 10)]
            for file in files:
                file.write_text("".join(map(_target, range(int(file.stem)))), encoding="utf-8")
            whole, tenth = (partial(load, str(file), {}, DEFAULTS) for file in files)
            return Measurement(
                unit="ms",
                values=[_seconds(whole) * _MS for _ in range(benchmark.runs)],
                compared_with=[10 * _seconds(tenth) * _MS for _ in range(benchmark.runs)],
                details=f"{number} targets, compared with ten times {number // 10}",
            )

    return measure


def _target(number: int) -> str:
    keys = 'token_id = "exporter@pbs!metrics"\ntoken_secret = "secret"\nlabels = { site = "a" }'
    return f'[targets.t{number}]\nendpoint = "https://pbs{number}:8007"\n{keys}\n'


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


def _decoded(benchmark: Benchmark, body: bytes, decode: Callable[[], object]) -> Measurement:
    decode()
    values, loads = [], []
    for _ in range(benchmark.runs):
        values.append(_seconds(decode) * _MS)
        loads.append(loading(body) * _MS)
    return Measurement(unit="ms", values=values, compared_with=loads, details=f"{len(body) / 1e6:.1f} MB of JSON")


def _listing(size: Input) -> bytes:
    return StaticSource(size).answer(Call("/admin/datastore/main/snapshots")).body


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
