"""Standard output and standard error that may be closed, full or stuck."""

import io
import os
import sys
import threading
from collections import deque
from typing import Any, TextIO

PATIENCE_SECONDS = 0.05
"""How long the writer of a line waits until it is written. After one that took longer, nobody waits."""

PENDING_LIMIT = 1 << 20
"""Characters that may wait to be written; what comes on top is lost."""

_IDLE_SECONDS = 5.0


def repair() -> None:
    """Make both streams usable, whatever the parent process has left of them.

    A closed one is opened such that writing fails as before: otherwise the next file or connection would take its
    number, and get what is written. Standard error that can't be written is no reason to fail.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a descriptor, for the life of the process
    if sys.stderr is sys.__stderr__:
        sys.stderr = io.TextIOWrapper(_Tolerant(), "utf-8", "backslashreplace", write_through=True)


class _Tolerant(io.RawIOBase):
    """Standard error. What can't be written is lost."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - the type `Buffer` is newer than Python 3.11
        view = memoryview(data)
        rest = view
        try:
            while rest:
                rest = rest[os.write(2, rest) :]
        except OSError:
            # There is nowhere to report it.
            pass
        return len(view)


class LineWriter:
    """Writes lines to a stream, in a thread: a stream that takes nothing holds up nobody.

    Usually a line is written when `write` returns. While the stream is stuck, lines wait up to `PENDING_LIMIT`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._pending = 0
        self._lost = 0
        self._is_stuck = False
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Write a line, or lose it if too much waits."""
        with self._changed:
            if self._pending > PENDING_LIMIT:
                self._lost += 1
                return
            self._lines.append(line)
            self._pending += len(line)
            self._changed.notify_all()
            if self._thread is None and not self._started():
                self._write_pending()
            if not self._is_stuck:
                self._is_stuck = not self._changed.wait_for(self._is_written, PATIENCE_SECONDS)

    def take_lost(self) -> int:
        """Return the number of lines lost since the last call; 0 while the stream is stuck."""
        with self._changed:
            if self._is_stuck:
                return 0
            lost, self._lost = self._lost, 0
            return lost

    def flush(self, seconds: float) -> None:
        """Wait until all is written, for at most that time."""
        with self._changed:
            self._changed.wait_for(self._is_written, seconds)

    def _is_written(self) -> bool:
        return not self._pending

    def _started(self) -> bool:
        """Start the thread. Return whether that was possible: there may be too many in the container or of the user."""
        # A daemon: nobody waits for it at exit.
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _write_pending(self) -> None:
        """Write what waits without a thread. A line that comes late is better than none, and than a failure."""
        while self._lines:
            line = self._lines.popleft()
            self._write(line)
            self._pending -= len(line)

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            # The stream is closed or full, and there is no other one.
            pass

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._lines, _IDLE_SECONDS):
                    self._thread = None
                    return
                line = self._lines.popleft()
            self._write(line)
            with self._changed:
                self._pending -= len(line)
                self._is_stuck = self._is_stuck and not self._is_written()
                self._changed.notify_all()
