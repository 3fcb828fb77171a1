"""The command line: version, help, and what it refuses."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from pbs_exporter import __revision__, __version__
from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.paths import recording_file
from tests.support.program import WAIT, Ended, program_environment, run_program, settings, started


async def test_version() -> None:
    """`--version` prints the name and the version, and the commit of a program that was built."""
    revision = f" (revision {__revision__})" if __revision__ else ""
    assert await run_program("--version") == Ended(0, f"pbs-exporter {__version__}{revision}\n", "")


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
    assert commands == ["serve", "init", "check", "once", "history", "healthcheck", "demo"]
    assert len(re.findall(r"^  pbs-exporter ", ended.stdout, re.MULTILINE)) >= 3


@pytest.mark.parametrize(
    "arguments",
    [["srve"], ["--confg", "x"], ["--conf", "x"], ["check", "--output", "x"], ["--config"], ["once", "--out", "x"]]
    + [["demo", "--pbs-port", port] for port in ("99999", "-1", "http")],
    ids=" ".join,
)
async def test_wrong_command_line(arguments: list[str]) -> None:
    """An unknown command or option is exit 2, one line of usage and one that says what is wrong."""
    ended = await run_program(*arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert [line.partition(":")[0] for line in ended.lines][:1] == ["usage"]
    assert len([line for line in ended.lines if line.startswith("usage:")]) == 1
    assert re.match(r"pbs-exporter( [a-z]+)?: error: ", ended.lines[-1])


async def test_a_warning_of_a_library_goes_through_the_log(tmp_path: Path) -> None:
    """What a library warns of while it is imported is a line of the log, also in `check`, and never Python's own."""
    # Python imports this module at start. It makes a library that is imported later warn.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, warnings\n"
        "class Warning_:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pbs_exporter.pbs.client':\n"
        "            warnings.warn('a raw warning', UserWarning)\n"
        "sys.meta_path.insert(0, Warning_())\n"
    )
    python_path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    async with SimulatedPbs(Replay(recording_file("pbs-4.2.3"))) as pbs:
        for command in ("check", "once"):
            # A program that was installed as a package reads no variables of Python's.
            module, env = ("-m", "pbs_exporter", command), settings(pbs, PYTHONPATH=python_path)
            async with started(*module, env=env, program=sys.executable) as running:
                ended = await running.end()
            (line,) = [line for line in ended.lines if "a raw warning" in line]
            assert line.startswith("ts=")
            assert "level=warn logger=py.warnings" in line
