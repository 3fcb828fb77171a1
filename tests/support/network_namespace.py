"""Network namespaces, in which tests use fixed ports without meeting other programs."""

import os
import sys
from pathlib import Path
from typing import Self

from tests.support.commands import attempt, run

_GET = """\
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    answer = opener.open(sys.argv[1], timeout=float(sys.argv[2]))
except urllib.error.HTTPError as refused:
    answer = refused
sys.stdout.write(answer.read().decode())
"""


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
