"""The command line: version, help, usage errors, and output that can't be written."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pbs_exporter import __version__
from tests.support.program import WAIT, Ended, program_environment, run_program


async def test_version() -> None:
    """`--version` prints the name and the version."""
    assert await run_program("--version") == Ended(0, f"pbs-exporter {__version__}\n", "")


async def test_runs_as_a_module() -> None:
    """`python -m pbs_exporter` is the same program, with the same exit codes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pbs_exporter", "srve", env=program_environment(), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT):
        _, stderr = await process.communicate()
    assert process.returncode == 2
    assert stderr.decode().startswith("usage: pbs-exporter ")


async def test_help_has_commands_and_examples() -> None:
    """`--help` lists every command and has examples."""
    ended = await run_program("--help")
    assert (ended.code, ended.stderr) == (0, "")
    commands = re.findall(r"^ {4}([a-z]+) ", ended.stdout, re.MULTILINE)
    assert commands == ["serve", "check", "once", "healthcheck", "demo"]
    assert len(re.findall(r"^  pbs-exporter ", ended.stdout, re.MULTILINE)) >= 3


@pytest.mark.parametrize(
    "arguments",
    [["srve"], ["--confg", "x"], ["--conf", "x"], ["check", "--output", "x"], ["--config"], ["once", "--out", "x"]],
    ids=" ".join,
)
async def test_wrong_command_line(arguments: list[str]) -> None:
    """An unknown command or option causes a usage line, a line with the error, and exit code 2."""
    ended = await run_program(*arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert [line.partition(":")[0] for line in ended.lines][:1] == ["usage"]
    assert len([line for line in ended.lines if line.startswith("usage:")]) == 1
    assert re.match(r"pbs-exporter( [a-z]+)?: error: ", ended.lines[-1])


SCRIPT = Path(sys.executable).with_name("pbs-exporter")
NOBODY = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://127.0.0.1:1",
    "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": "00000000-0000-0000-0000-000000000000",
}
"""Settings of a PBS that doesn't exist, which are enough for output."""


@pytest.mark.parametrize("command", ["once", "check"])
def test_a_reader_that_has_left(command: str) -> None:
    """If the reader of the output has exited, as with `| head`, a command exits with 1 and without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(  # noqa: S603 - our own script
            [SCRIPT, command],
            env={**os.environ, **NOBODY},
            stdout=writer,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize("command", ["once", "check"])
def test_a_full_disk(command: str) -> None:
    """Output that can't be written causes one line on stderr beside the log, and exit code 1 without a traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - our own script
            [SCRIPT, command],
            env={**os.environ, **NOBODY, "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "error"},
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["pbs-exporter: can't continue: no space left on device"]
