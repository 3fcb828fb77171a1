"""The process of a simulated PBS: `python -m tests.support.simulated_pbs HOST PORT LATENCY`.

Its first line on stdout is an `Address` in JSON. It ends with its standard input.
"""

import asyncio
import sys
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from pbs_exporter.simulator import Certificate, Replay, SimulatedPbs
from tests.support.network_namespace import Namespace
from tests.support.paths import DATA

RECORDING = DATA / "recordings" / "pbs-4.2.3.jsonl"


class Address(msgspec.Struct, frozen=True):
    """How an exporter reaches the simulated PBS."""

    endpoint: str
    token_id: str
    secret: str
    fingerprint: str

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of an exporter of this PBS."""
        return {
            "PBS_EXPORTER__PBS__ENDPOINT": self.endpoint,
            "PBS_EXPORTER__PBS__TOKEN_ID": self.token_id,
            "PBS_EXPORTER__PBS__TOKEN_SECRET": self.secret,
            "PBS_EXPORTER__PBS__FINGERPRINT": self.fingerprint,
        }


class Simulate(Protocol):
    """A context manager that runs a simulated PBS in a network namespace."""

    def __call__(
        self, namespace: Namespace, host: str = "127.0.0.1", port: int = 0, latency: float = 0
    ) -> AbstractContextManager[Address]:
        """Run a simulated PBS that delays each response by `latency` seconds."""


async def serve(pbs: SimulatedPbs, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a PBS until standard input ends. The first line on stdout is its `Address` in JSON."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await pbs.start(port, host=host)
    try:
        address = Address(pbs.endpoint, pbs.token_id, pbs.secret, pbs.fingerprint)
        sys.stdout.write(f"{msgspec.json.encode(address).decode()}\n")
        sys.stdout.flush()
        await lines.read()
    finally:
        await pbs.stop()


def main(host: str, port: str, latency: str) -> None:
    """Serve the recorded PBS."""
    certificate = Certificate.make(names=(host,))
    pbs = SimulatedPbs(Replay(RECORDING), latency=float(latency), certificate=certificate)
    asyncio.run(serve(pbs, host, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
