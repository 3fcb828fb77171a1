"""What every deployment test stands on: commands, waiting, a cache outside the checkout, network namespaces."""

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
"""The machine's authorities. Behind a proxy that opens TLS, a build needs them; no image keeps them."""

_FRESH_SECONDS = 14 * 86400
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
    """Give what a tool needs of this process's environment, and these variables."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # Debian's tools for root are not on everybody's path.
    return kept | {"PATH": f"{kept.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"} | variables


def attempt(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    seconds: float = _COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code is. Raises `FileNotFoundError` where there is no such tool."""
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
    """Run a command that must succeed, and give its standard output. Raises `AssertionError` with all that it said."""
    ended = attempt(*command, env=env, cwd=cwd, stdin=stdin, seconds=seconds)
    shown = " ".join(str(part) for part in command)
    assert ended.returncode == 0, f"{shown}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 30.0, pause: float = 0.1) -> Found:
    """Look until there is something (neither `None` nor false), and give it."""
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
    """Run a process as long as the block lasts. Its standard input is a pipe, its standard error goes to `log`."""
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


def cached(name: str, recipe: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Give the cached folder of that name; it is made anew after a change of its recipe, and after two weeks.

    Two runs at once make it once.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{key}"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir() or time.time() - folder.stat().st_mtime > _FRESH_SECONDS:
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
    """A network of its own, where nothing but the loopback is; a context manager."""

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
        """Give the command that runs `command` in here; `ip netns exec` would hide the cgroups."""
        return ("nsenter", f"--net={self.path}", *command)

    def get(self, url: str, seconds: float = 20.0) -> str:
        """Ask for a page from in here, and give its text whatever its status is."""
        return run(*self.inside(sys.executable, "-c", _GET, url, str(seconds)))

    def try_get(self, url: str, seconds: float = 20.0) -> str | None:
        """Ask for a page from in here; `None` where nobody answers."""
        ended = attempt(*self.inside(sys.executable, "-c", _GET, url, str(seconds)))
        return ended.stdout if ended.returncode == 0 else None
