"""The processes of a benchmark, as context managers that end them."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from benchmarks.client import Client, Response
from benchmarks.inputs import Input
from benchmarks.programs import Program
from benchmarks.simulated_pbs import PbsAccess, RequestStats
from pbs_exporter.web.unsent import RETURN_SECONDS

_ROOT = Path(__file__).parent.parent
_PATIENCE_SECONDS = 60.0
_STEP_SECONDS = 0.02
_SETTLING_SECONDS = RETURN_SECONDS + 0.5
_KIB_A_MIB = 1024


class _Process:
    """A process that is terminated at the end of the block, and killed if that fails."""

    process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Terminate the process, or kill it if it doesn't end."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class PbsProcess(_Process):
    """The process of the simulated PBS."""

    def __init__(self, size: Input) -> None:
        self._size = size
        command = [sys.executable, "-m", "benchmarks.simulated_pbs", msgspec.json.encode(size).decode()]
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = msgspec.json.decode(self._line(), type=PbsAccess)

    def request_stats(self) -> RequestStats:
        """Return statistics of the requests since the last call."""
        _pipe(self.process.stdin).write("\n")
        _pipe(self.process.stdin).flush()
        return msgspec.json.decode(self._line(), type=RequestStats)

    def listing(self) -> bytes:
        """Return the listing of the root namespace of `main`: the JSON as it is transferred."""
        client = Client(self.address.endpoint)
        token = f"PBSAPIToken={self.address.token_id}:{self.address.secret}"
        response = client.get("/api2/json/admin/datastore/main/snapshots", Authorization=token)
        client.close()
        self.request_stats()
        return bytes(response.body)

    def end(self) -> None:
        """Close the pipes and end the process."""
        _pipe(self.process.stdin).close()
        super().end()
        _pipe(self.process.stdout).close()

    def _line(self) -> str:
        line = _pipe(self.process.stdout).readline()
        if not line:
            raise RuntimeError("the simulated PBS has ended")
        return line


class ExporterProcess(_Process):
    """The process of an exporter."""

    def __init__(self, program: Program, pbs: PbsAccess, scheme: str = "http") -> None:
        self._program = program
        port = _free_port()
        # As an installed program runs: with compiled modules, among others.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PBS_", "PYTHON"))}
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(  # noqa: S603 - from the command line
            program.arguments(pbs, port),
            env=environment | program.variables(pbs, port),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            text=True,
        )
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.client = Client(self.url)
        try:
            self._wait_for(port)
        except BaseException:
            self.end()
            raise

    def scrape(self, client: Client | None = None, /, **headers: str) -> Response:
        """Request the metrics as Prometheus does, with the one client of this process or another."""
        return (client or self.client).get(
            self._program.path, **{"X-Prometheus-Scrape-Timeout-Seconds": "120", **headers}
        )

    def cpu_seconds(self) -> float:
        """Return the time that the process has run on a core, in steps of a hundredth."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """Return the memory of the process in MiB: `VmRSS` is the current value, `VmHWM` the peak."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
        return {name: int(kib) / _KIB_A_MIB for name, kib in re.findall(r"^(Vm\w+):\s+(\d+) kB$", text, re.MULTILINE)}

    def settled_memory(self) -> dict[str, float]:
        """Return the memory as it is between two scrapes, when what is free has been returned to the system."""
        time.sleep(_SETTLING_SECONDS)
        return self.memory()

    def end(self) -> None:
        """End the process, and close its output and the client."""
        self.client.close()
        super().end()
        self._output.close()

    def _wait_for(self, port: int) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(_STEP_SECONDS)
            else:
                return
        self._output.seek(0)
        raise RuntimeError(f"the exporter doesn't listen on port {port}. Its output:\n{self._output.read()[-2000:]}")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("no pipe")
    return pipe


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
