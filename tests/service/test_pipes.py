"""The program where standard output or standard error is closed, full or stuck."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from pbs_exporter.simulator import SimulatedPbs
from tests.support.metrics_page import Scraped
from tests.support.program import (
    PROGRAM,
    WAIT,
    Ended,
    closed_port,
    get,
    program_environment,
    serving,
    settings,
    started,
)

NOBODY = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://127.0.0.1:1",
    "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": "00000000-0000-0000-0000-000000000000",
}
"""Settings of a PBS that isn't there, which is all that output needs."""


@pytest.mark.parametrize("command", ["once", "check"])
def test_a_reader_that_has_left(command: str) -> None:
    """Where nobody reads the output any more, as behind `| head`, a command ends with code 1 and no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(  # noqa: S603 - our own script
            [PROGRAM, command],
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
    """Output that can't be written is one line on stderr beside the log, exit code 1, and no traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - our own script
            [PROGRAM, command],
            env={**os.environ, **NOBODY, "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "error"},
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["pbs-exporter: can't continue: no space left on device"]


BROKEN = {
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "both closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": "2>/dev/full",
    "both full": ">/dev/full 2>/dev/full",
}


def shell(redirections: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program with these redirections."""
    return subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", "-c", f'exec "$0" "$@" {redirections}', PROGRAM, *arguments],
        env=program_environment(**NOBODY),
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT,
        check=False,
    )


@pytest.mark.parametrize("redirections", BROKEN.values(), ids=BROKEN)
def test_an_output_file_needs_no_streams(tmp_path: Path, redirections: str) -> None:
    """`once --output` writes its file and ends with 0, whatever standard output and standard error are."""
    file = tmp_path / "pbs.prom"
    ended = shell(redirections, "once", "--output", str(file))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr
    assert Scraped(file.read_text()).value("pbs_up") == 0


@pytest.mark.parametrize("redirections", [text for text in BROKEN.values() if not text.startswith("2")])
@pytest.mark.parametrize("arguments", [["once"], ["--version"], ["--help"], ["once", "--help"]], ids=" ".join)
def test_output_that_nobody_gets_is_a_failure(redirections: str, arguments: list[str]) -> None:
    """Where standard output is closed or full, what is to be printed there is exit code 1, without a traceback."""
    ended = shell(redirections, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("redirections", [text for text in BROKEN.values() if text.startswith("2")])
@pytest.mark.parametrize(
    ("arguments", "code"), [(["--nope"], 2), (["--config", "/nope"], 1), (["healthcheck", "--config", "/nope"], 1)]
)
def test_a_message_that_nobody_gets_keeps_the_exit_code(redirections: str, arguments: list[str], code: int) -> None:
    """Where standard error is closed or full, a mistake has the exit code that it has elsewhere."""
    assert shell(redirections, *arguments).returncode == code


def stuck_pipe() -> tuple[int, int]:
    """Return both ends of a pipe that is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, bytes(size))
        except BlockingIOError:
            continue
    os.set_blocking(writer, True)
    return reader, writer


async def test_a_stuck_log_holds_up_nobody(pbs: SimulatedPbs) -> None:
    """While nobody reads a full pipe on standard error, pages are served and SIGTERM ends it."""
    reader, writer = stuck_pipe()
    port = closed_port()
    more = {
        "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "debug",
    }
    process = await asyncio.create_subprocess_exec(
        PROGRAM, env=program_environment(**settings(pbs, **more)), stderr=writer
    )
    os.close(writer)
    try:
        async with asyncio.timeout(WAIT):
            while True:
                try:
                    status, text = await get(f"http://127.0.0.1:{port}/metrics")
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        assert (status, Scraped(text).value("pbs_up")) == (200, 1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(reader)


async def test_sighup_does_not_end_the_program(pbs: SimulatedPbs) -> None:
    """SIGHUP reads the settings again, which a line says, and pages are served as before."""
    async with started(env=settings(pbs)) as running:
        address = await serving(running)
        running.process.send_signal(signal.SIGHUP)
        await running.line("settings reloaded")
        assert await get(f"{address}/health") == (200, "ok\n")
        ended = await running.end(signal.SIGTERM)
    assert ended.code == 0


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_sigterm_before_the_start_ends_it(tmp_path: Path, command: str) -> None:
    """SIGTERM ends the program with 0 and without a word while it still reads its settings."""
    file = tmp_path / "settings.toml"
    os.mkfifo(file)
    async with started(command, "--config", str(file)) as running:
        with await asyncio.to_thread(file.open, "w"):
            ended = await running.end(signal.SIGTERM)
    assert ended == Ended(0, "", "")


async def test_sighup_before_the_start_is_ignored(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """SIGHUP doesn't end the program while it reads its settings either."""
    file = tmp_path / "settings.toml"
    os.mkfifo(file)
    async with started("--config", str(file), env=settings(pbs)) as running:
        # This waits until the program reads.
        with await asyncio.to_thread(file.open, "w") as writer:
            running.process.send_signal(signal.SIGHUP)
            writer.write("[exporter]\n")
        address = await serving(running)
        assert await get(f"{address}/health") == (200, "ok\n")
        assert (await running.end(signal.SIGTERM)).code == 0
