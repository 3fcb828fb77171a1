"""The program in a terminal of its own, in which a test reads and types."""

import asyncio
import os
import pty
import re
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.program import PROGRAM, WAIT, program_environment
from tests.support.waiting import eventually


class Terminal:
    """A terminal. `shown` is all that it has shown since the last answer, `text` all since the beginning."""

    def __init__(self, process: asyncio.subprocess.Process, master: int, reader: asyncio.StreamReader) -> None:
        self.text = ""
        self._process = process
        self._master = master
        self._reader = reader
        self._seen = 0

    @property
    def shown(self) -> str:
        """What is shown since the last answer."""
        return self.text[self._seen :]

    async def answer(self, question: str, answer: bytes | str) -> None:
        """Wait for a question at the end of what is shown, and type a line. A wrong question fails the test."""
        async with asyncio.timeout(WAIT):
            while not re.search(rf"{re.escape(question)} ?\Z", self.shown):
                assert await self._more(), f"no question {question!r} in {self.shown!r}"
        self._seen = len(self.text)
        os.write(self._master, (answer if isinstance(answer, bytes) else answer.encode()) + b"\n")

    async def press(self, key: bytes) -> None:
        """Press a key without Enter, once something is shown and the program reads.

        Python loses a Ctrl-C that is pressed between the question and the begin of its reading.
        """
        status = Path(f"/proc/{self._process.pid}/stat")
        async with asyncio.timeout(WAIT):
            await self._more()
            await eventually(lambda: status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "S")
        os.write(self._master, key)

    async def ended(self) -> int:
        """Wait until the program ends, and return its exit code."""
        async with asyncio.timeout(WAIT):
            while await self._more():
                pass
            return await self._process.wait()

    async def _more(self) -> bool:
        try:
            data = await self._reader.read(4096)
        except OSError:
            # Linux says so when the program has closed the terminal.
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@asynccontextmanager
async def in_a_terminal(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Terminal]:
    """Run the program in a terminal of its own until the block ends."""
    master, slave = pty.openpty()
    # A machine that is busy must not make lines of another width.
    termios.tcsetwinsize(slave, (50, 200))
    process = await asyncio.create_subprocess_exec(
        "setsid",
        "--ctty",
        "--wait",
        PROGRAM,
        *arguments,
        cwd=cwd,
        env=program_environment(**(env or {})),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(master), "rb", buffering=0)
    )
    try:
        yield Terminal(process, master, reader)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        transport.close()
        os.close(master)
