"""Commands, waiting, caches outside the checkout, and network namespaces."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pbs-exporter-deploy"
CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
"""The machine's certificate authorities. Builds behind a proxy that opens TLS need them; no image keeps them."""

_MAX_AGE_SECONDS = 14 * 86400
_COMMAND_SECONDS = 300.0
_ENVIRONMENT = ("HOME", "LANG", "PATH", "TMPDIR")

Found = TypeVar("Found")

_GET = """\
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    answer = opener.open(sys.argv[1], timeout=float(sys.argv[2]))
except urllib.error.HTTPError as refused:
    answer = refused
sys.stdout.write(answer.read().decode())
"""


def environment(**variables: str) -> dict[str, str]:
    """Return the variables that tools need from this process's environment, with `variables` added."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # Not every user has Debian's administration tools on the path.
    return kept | {"PATH": f"{kept.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"} | variables


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
    """Run a command to its end, whatever its exit code. Raise `FileNotFoundError` if there is no such program."""
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


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 30.0, pause: float = 0.1) -> Found:
    """Call `look` until its result is true, and return the result."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
    return found


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


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(folder: Path, name: str, make: Callable[[], str]) -> str:
    """Return what `make` returned in the first of the processes that share `folder`; the others wait for it."""
    with _locked(folder / f"{name}.lock"):
        made = folder / f"{name}.made"
        if not made.exists():
            made.write_text(make())
        return made.read_text()


def cached(name: str, recipe: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the cached folder of that name. It is made again after two weeks, and when its recipe has changed.

    Concurrent runs make it once.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{key}"
    with _locked(CACHE / f"{name}.lock"):
        if not folder.is_dir() or time.time() - folder.stat().st_mtime > _MAX_AGE_SECONDS:
            making = folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            for old in CACHE.glob(f"{name}-*[0-9a-f]"):
                shutil.rmtree(old)
            making.rename(folder)
            os.utime(folder)
    return folder


class Namespace:
    """A network namespace that has only a loopback interface; a context manager."""

    def __init__(self, name: str) -> None:
        self.name = f"{name}-{os.getpid()}"
        self.path = Path("/run/netns") / self.name

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        run("ip", "netns", "delete", self.name)

    def inside(self, *command: str | Path) -> tuple[str | Path, ...]:
        """Return the command that runs `command` in the namespace."""
        # `ip netns exec` would hide the cgroups.
        return ("nsenter", f"--net={self.path}", *command)

    def get(self, url: str, seconds: float = 20.0) -> str:
        """Return the body of a response, whatever its status. The request is sent from inside the namespace."""
        return run(*self.inside(sys.executable, "-c", _GET, url, str(seconds)))

    def try_get(self, url: str, seconds: float = 20.0) -> str | None:
        """Return the body of a response, or `None` if there is no server."""
        ended = attempt(*self.inside(sys.executable, "-c", _GET, url, str(seconds)))
        return ended.stdout if ended.returncode == 0 else None
