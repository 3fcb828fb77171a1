"""The installed program, run as a process."""

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp

from pbs_exporter.simulator import SimulatedPbs

PROGRAM = Path(sys.executable).with_name("pbs-exporter")
WAIT = 30.0
"""Limit of each wait for a process, in seconds: only a process that hangs reaches it, also on a busy machine."""

_FIRST_PORT, _PORTS_OF_A_PROCESS, _PROCESSES = 10_000, 200, 100

_ports = itertools.count(_FIRST_PORT + os.getpid() % _PROCESSES * _PORTS_OF_A_PROCESS)


class Ended(NamedTuple):
    """The exit code and the output of a process."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr."""
        return self.stderr.splitlines()


class Running:
    """A process of the installed program, whose stderr is read while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stderr that contains `pattern`."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"no line with {pattern} in {self.lines}")

    async def end(self, number: signal.Signals | None = None) -> Ended:
        """Wait until it exits. Send a signal first if one is given."""
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(WAIT):
            stdout, stderr = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, stdout.decode(), "".join(self.lines) + stderr.decode())


def program_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with these variables, and no others that the program or its log reads."""
    ours = ("PBS_", "RUST_LOG", "NO_COLOR", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables


def settings(pbs: SimulatedPbs, **more: str) -> dict[str, str]:
    """Return the variables for an exporter of this PBS on a port that the system chooses."""
    return {
        "PBS_EXPORTER__PBS__ENDPOINT": pbs.endpoint,
        "PBS_EXPORTER__PBS__TOKEN_ID": pbs.token_id,
        "PBS_EXPORTER__PBS__TOKEN_SECRET": pbs.secret,
        "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0",
    } | more


@asynccontextmanager
async def started(
    *arguments: str, env: Mapping[str, str] | None = None, program: Path | str = PROGRAM
) -> AsyncIterator[Running]:
    """Run the program until the block ends, or another one that behaves like it."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=program_environment(**(env or {})),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_program(*arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run the program until it exits."""
    async with started(*arguments, env=env) as running:
        return await running.end()


async def serving(running: Running) -> str:
    """Wait until the program serves, and return its URL."""
    found = await running.line(r"msg=started .*listen_address=(\S+:[1-9]\d*) ")
    return f"http://{found[1]}"


async def get(url: str) -> tuple[int, str]:
    """Return status and body."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """Accept connections on a loopback port and never answer; yield the port."""
    held: list[asyncio.StreamWriter] = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in held:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


def closed_port() -> int:
    """Return a loopback port on which nothing listens, and none twice.

    It is below those that the system gives to whoever asks for any: nobody else gets it before it is used.
    """
    for port in _ports:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
