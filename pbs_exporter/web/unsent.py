"""The memory for bodies of responses that clients haven't taken yet."""

import asyncio
import ctypes
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

MOST_BYTES = 512 * 1024 * 1024

RETURN_SECONDS = 1.0
"""Time after a body until the C library returns free memory to the system, which takes milliseconds: once for many."""

_SHARE = 4
"""The divisor of the memory that the process may use."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


class UnsentBodies:
    """Keeps the bodies that are being sent, in pieces. Equal pieces are kept and counted once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._total = 0
        self._pieces: dict[bytes, bytes] = {}
        self._uses: Counter[bytes] = Counter()
        self._returning = False

    @property
    def is_full(self) -> bool:
        """Whether no other body fits."""
        return self._total >= self.limit

    @contextmanager
    def hold(self, body: Sequence[bytes]) -> Iterator[Sequence[bytes] | None]:
        """Keep a body until the block ends. Yield it, or `None` if it doesn't fit; one alone always does."""
        size = sum(len(piece) for piece in set(body) if piece not in self._pieces)
        if self._total and self._total + size > self.limit:
            yield None
            return
        self._total += size
        # The given pieces that others already have are free from here on.
        body = [self._pieces.setdefault(piece, piece) for piece in body]
        self._uses.update(body)
        try:
            yield body
        finally:
            self._release(body)

    def _release(self, pieces: Sequence[bytes]) -> None:
        self._uses.subtract(pieces)
        unused = {piece for piece in pieces if not self._uses[piece]}
        for piece in unused:
            del self._uses[piece], self._pieces[piece]
        self._total -= sum(map(len, unused))
        if not self._returning:
            self._returning = True
            asyncio.get_running_loop().call_later(RETURN_SECONDS, self._return)

    def _return(self) -> None:
        self._returning = False
        return_free_memory()


def return_free_memory() -> None:
    """Return to the system what is free between other memory. C libraries other than glibc do so by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
