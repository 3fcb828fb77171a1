"""The memory for bodies of responses that clients haven't taken yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

MOST_BYTES = 512 * 1024 * 1024

_SHARE = 4
"""One part in so many of the memory that the process may use."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


class UnsentBodies:
    """Counts the bytes of all bodies that are being sent."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._total = 0

    @property
    def is_full(self) -> bool:
        """Whether no other body fits."""
        return self._total >= self.limit

    @contextmanager
    def hold(self, size: int) -> Iterator[bool]:
        """Count a body until the block ends. Yield whether it fits; one alone always does."""
        if self._total and self._total + size > self.limit:
            yield False
            return
        self._total += size
        try:
            yield True
        finally:
            self._total -= size


def limit_of_unsent(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """Return the limit for all unsent bodies: a part of the memory limit of the process's cgroup, if it has one."""
    try:
        lines = own.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    found = [limit for line in lines for limit in _limits(line, cgroups)]
    return min([MOST_BYTES, *(limit // _SHARE for limit in found)])


def _limits(line: str, cgroups: Path) -> Iterator[int]:
    """Yield the memory limits of a cgroup and of those around it, of version 2 or 1."""
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if number == "0" and not controllers:
        top, name = cgroups, "memory.max"
    elif "memory" in controllers.split(","):
        top, name = cgroups / "memory", "memory.limit_in_bytes"
    else:
        return
    folder = PurePosixPath(path.lstrip("/"))
    for each in (folder, *folder.parents):
        try:
            text = (top / each / name).read_text().strip()
        except OSError:
            # A container sees its own cgroup as the top one, maybe under a path that it can't see.
            continue
        if text.isdecimal():
            yield int(text)
