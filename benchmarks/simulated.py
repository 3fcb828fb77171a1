"""The process of the simulated PBS: `python -m benchmarks.simulated INPUT`, with an `Input` in JSON.

Its first line on stdout is an `Address`. For each line on stdin it writes a `Seen` of the requests since the one
before. It ends with its stdin.
"""

import asyncio
import sys
from collections.abc import Iterable

import msgspec

from benchmarks.inputs import Input
from benchmarks.source import Still
from pbs_exporter.simulator import LoggedRequest, SimulatedPbs


class Address(msgspec.Struct, frozen=True):
    """What an exporter must know of the PBS."""

    endpoint: str
    token_id: str
    secret: str
    fingerprint: str


class Seen(msgspec.Struct, frozen=True):
    """What PBS was asked: how many requests, how many of them one after another, and whether deflate was asked for."""

    requests: int
    rounds: int
    deflate: bool


def rounds(requests: Iterable[tuple[float, float]]) -> int:
    """Give the length of the longest row of requests (start, end) of which each began after the one before ended."""
    count, last = 0, 0.0
    for started, ended in sorted(requests, key=lambda request: request[1]):
        if started >= last:
            count, last = count + 1, ended
    return count


def _seen(requests: Iterable[LoggedRequest]) -> Seen:
    times = [(request.started, request.ended) for request in requests if request.ended is not None]
    return Seen(
        requests=len(times),
        rounds=rounds(times),
        deflate=any("deflate" in request.headers.get("Accept-Encoding", "") for request in requests),
    )


def _say(message: msgspec.Struct) -> None:
    sys.stdout.write(f"{msgspec.json.encode(message).decode()}\n")
    sys.stdout.flush()


async def _serve(size: Input) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with SimulatedPbs(Still(size), tls=size.tls, latency=size.latency) as pbs:
        _say(Address(pbs.endpoint, pbs.token_id, pbs.secret, pbs.fingerprint))
        while await lines.readline():
            _say(_seen(pbs.requests))
            pbs.requests.clear()


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(sys.argv[1], type=Input)))
