"""`pbs-exporter healthcheck`: requests the local `/health`, for containers. It needs no settings of PBS."""

import asyncio
import re
import sys
from http import HTTPStatus

from pbs_exporter.config import ListenAddress

SECONDS = 2.0
"""Timeout of the request. The whole run, including Python's start, must end within 3 s."""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


def run(address: ListenAddress) -> int:
    """Return 0 if the exporter on this address is healthy, otherwise 1 with a line on stderr."""
    try:
        status = asyncio.run(_status(address))
    except OSError as error:
        print(f"pbs-exporter: no answer on {address}: {str(error) or 'timeout'}", file=sys.stderr)
        return 1
    except ValueError:
        print(f"pbs-exporter: no answer on {address} that is HTTP", file=sys.stderr)
        return 1
    if status != HTTPStatus.OK:
        print(f"pbs-exporter: status {status} on {address}", file=sys.stderr)
        return 1
    return 0


async def _status(address: ListenAddress) -> int:
    host = _LOOPBACK.get(address.host, address.host)
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(host, address.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.readline()
        finally:
            writer.close()
    if not answer.startswith(b"HTTP/1.1 "):
        return 0
    match = re.match(rb"[0-9]{3}(?=\s|\Z)", answer.removeprefix(b"HTTP/1.1 "))
    if match is None:
        raise ValueError("no status")
    return int(match[0])
