"""`make dev`, on a copy of the package."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from pbs_exporter import __version__
from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.paths import ROOT, recording_file

WAIT = 50.0
"""Limit of each wait, in seconds. Only a process that hangs reaches it, even on a busy machine."""


class Developing:
    """A `make dev` in its own process group, as in a terminal, and the copy that it watches."""

    def __init__(self, folder: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._file = folder / "pbs_exporter" / "__init__.py"
        self._source = self._file.read_text()
        self._url = f"http://127.0.0.1:{port}"

    def save(self, version: str) -> None:
        """Save the package with another version."""
        changed = self._source.replace(f'"{__version__}"', f'"{version}"')
        assert changed != self._source
        self._file.write_text(changed)

    def save_nonsense(self) -> None:
        """Save the package with a syntax error."""
        self._file.write_text("def (\n")

    async def get(self, path: str) -> str | None:
        """Return a page, or `None` if there is no answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self._url}{path}") as response:
                return await response.text()
        except aiohttp.ClientError:
            return None

    async def answers(self, text: str, path: str = "/") -> None:
        """Wait until a page contains that text."""
        async with asyncio.timeout(WAIT):
            while text not in (await self.get(path) or ""):
                assert self.process.returncode is None
                await asyncio.sleep(0.05)

    async def is_silent(self) -> None:
        """Wait until the port no longer answers."""
        async with asyncio.timeout(WAIT):
            while await self.get("/") is not None:  # noqa: ASYNC110 - an ended process sends no event
                await asyncio.sleep(0.05)


@asynccontextmanager
async def developing(folder: Path, *arguments: str) -> AsyncIterator[Developing]:
    """Run `make dev` on a copy of the package in that folder. All its processes end with the block."""
    shutil.copytree(ROOT / "pbs_exporter", folder / "pbs_exporter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # COV*: the copy isn't part of the coverage. MAKE*: this test may run below another make.
    others = ("PBS_EXPORTER", "COV", "MAKE", "MFLAGS")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(others)} | {
        "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}",
        # The installed package is the checkout. The copy must be found before it.
        "PYTHONPATH": str(folder),
    }
    # Children inherit an ignored SIGINT, which this process has if it is a shell's background job.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # `--old-file` keeps make from rebuilding this test's environment.
    process = await asyncio.create_subprocess_exec(
        "make",
        f"VENV={sys.prefix}",
        f"--old-file={sys.prefix}/ready",
        "dev",
        *arguments,
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Developing(folder, port, process)
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def group_lives(leader: int) -> bool:
    """Whether a process of the group still exists."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(240)
async def test_changes_are_served_and_a_mistake_is_survived(tmp_path: Path) -> None:
    """`make dev` serves each saved change. After a syntax error, it doesn't answer until the next good save."""
    async with developing(tmp_path) as dev:
        await dev.answers(__version__)
        dev.save("7.0.1-first")
        await dev.answers("7.0.1-first")
        dev.save_nonsense()
        await dev.is_silent()
        assert dev.process.returncode is None
        dev.save("7.0.2-second-one")
        await dev.answers("7.0.2-second-one")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broken", [False, True], ids=["serving", "after a syntax error"])
async def test_interrupt_leaves_no_process(tmp_path: Path, *, broken: bool) -> None:
    """Ctrl-C ends `make dev` and all processes that it started, even while the code has a syntax error."""
    async with developing(tmp_path) as dev:
        await dev.answers(__version__)
        if broken:
            dev.save_nonsense()
            await dev.is_silent()
        os.killpg(dev.process.pid, signal.SIGINT)
        async with asyncio.timeout(WAIT):
            await dev.process.wait()
            while group_lives(dev.process.pid):  # noqa: ASYNC110 - the end of a group sends no event
                await asyncio.sleep(0.05)
        assert await dev.get("/") is None


@pytest.mark.timeout(240)
async def test_settings_file_names_the_pbs(tmp_path: Path) -> None:
    """`make dev CONFIG=…` serves the PBS of that settings file, and reloads on changes."""
    async with SimulatedPbs(Replay(recording_file("pbs-4.2.3"))) as pbs:
        settings = tmp_path / "my.toml"
        settings.write_text(
            f'[pbs]\nendpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
        )
        async with developing(tmp_path, "CONFIG=my.toml") as dev:
            await dev.answers("\npbs_up 1", "/metrics")
            dev.save("7.0.3-of-another-length")
            await dev.answers("7.0.3-of-another-length")
            await dev.answers(pbs.endpoint)
