"""Commands and processes that tests run."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT

_COMMAND_SECONDS = 300.0
_ENVIRONMENT = ("HOME", "LANG", "PATH", "TMPDIR")


def environment(**variables: str) -> dict[str, str]:
    """Return the variables that tools need from this process's environment, with `variables` added."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # Not every user has Debian's administration tools on the path.
    return kept | {"PATH": f"{kept.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"} | variables


def machine_environment() -> dict[str, str]:
    """Return `environment()` with the machine's own settings of how package managers reach an index."""
    settings = ("GO", "PIP_", "SSL_")
    return environment(**{name: value for name, value in os.environ.items() if name.startswith(settings)})


def tool(name: str) -> Path:
    """Return the path of a program in this Python's environment."""
    return Path(sys.executable).with_name(name)


def attempt(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    seconds: float = _COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits, with any exit code. Raise `FileNotFoundError` if there is no such program."""
    return subprocess.run(  # noqa: S603 - tests say what is run
        [str(part) for part in command],
        env=dict(env) if env is not None else environment(),
        cwd=cwd or ROOT,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    seconds: float = _COMMAND_SECONDS,
) -> str:
    """Run a command, and return its standard output. Raise `AssertionError` with all its output if it fails."""
    ended = attempt(*command, env=env, cwd=cwd, stdin=stdin, seconds=seconds)
    shown = " ".join(str(part) for part in command)
    assert ended.returncode == 0, f"{shown}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@contextmanager
def process(
    *command: str | Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block ends. Its standard input is a pipe; its standard error goes to `log`."""
    with log.open("a") as stderr:
        running = subprocess.Popen(  # noqa: S603 - tests say what is run
            [str(part) for part in command],
            env=dict(env) if env is not None else environment(),
            cwd=cwd or ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )
    with running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
