"""The process of the simulated PBS: `python -m benchmarks.simulated_pbs INPUT`, with an `Input` in JSON.

The first line on stdout is a `PbsAccess`. For each line on stdin it writes the `RequestStats` since the last one. It
ends when stdin is closed.
"""

import asyncio
import sys
from collections.abc import Iterable

import msgspec

from benchmarks.inputs import Input
from benchmarks.static_source import StaticSource
from pbs_exporter.simulator import LoggedRequest, SimulatedPbs


class PbsAccess(msgspec.Struct, frozen=True):
    """What an exporter needs to connect to the PBS."""

    endpoint: str
    token_id: str
    secret: str
    fingerprint: str


class RequestStats(msgspec.Struct, frozen=True):
    """The number of requests, of consecutive rounds of requests, and whether any accepted deflate."""

    requests: int
    rounds: int
    deflate: bool


def rounds(requests: Iterable[tuple[float, float]]) -> int:
    """Return the length of the longest chain of requests (start, end) in which each starts after the previous ended."""
    count, last = 0, 0.0
    for started, ended in sorted(requests, key=lambda request: request[1]):
        if started >= last:
            count, last = count + 1, ended
    return count


def _stats(requests: Iterable[LoggedRequest]) -> RequestStats:
    times = [(request.started, request.ended) for request in requests if request.ended is not None]
    return RequestStats(
        requests=len(times),
        rounds=rounds(times),
        deflate=any("deflate" in request.headers.get("Accept-Encoding", "") for request in requests),
    )


def _send(message: msgspec.Struct) -> None:
    sys.stdout.write(f"{msgspec.json.encode(message).decode()}\n")
    sys.stdout.flush()


async def _serve(size: Input) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with SimulatedPbs(StaticSource(size), tls=size.tls, latency=size.latency) as pbs:
        _send(PbsAccess(pbs.endpoint, pbs.token_id, pbs.secret, pbs.fingerprint))
        while await lines.readline():
            _send(_stats(pbs.requests))
            pbs.requests.clear()


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(sys.argv[1], type=Input)))
