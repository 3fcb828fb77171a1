"""Measures what a web configuration costs: a request to an exporter that has one, compared with one that has none."""

import base64
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import msgspec

from benchmarks.benchmark import Benchmark, Measure
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program
from pbs_exporter.simulator import Certificate
from pbs_exporter.web.port.current import SETTLED_SECONDS

_MS = 1_000
_HEADERS = {"Authorization": f"Basic {base64.b64encode(b'prometheus:password').decode()}"}

_Request = Callable[[ExporterProcess], float]


def _tls(folder: Path) -> str:
    certificate = Certificate.make()
    (folder / "server.crt").write_bytes(certificate.pem)
    (folder / "server.key").write_bytes(certificate.key_pem)
    return "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


def _login(_folder: Path) -> str:
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(10)).decode()
    return f"basic_auth_users:\n  prometheus: {hashed}\n"


def _scrape(exporter: ExporterProcess) -> float:
    return exporter.scrape(**_HEADERS).seconds


def _head(exporter: ExporterProcess) -> float:
    """Request `/metrics` without a scrape."""
    return exporter.client.head("/metrics", **_HEADERS).seconds


def _compared(write: Callable[[Path], str], scheme: str, request: _Request) -> Measure:
    """Return what alternates between both exporters, over kept connections. A value is what the second took more."""

    def measure(benchmark: Benchmark, program: Program) -> Measurement:
        with (
            PbsProcess(benchmark.input) as pbs,
            _configured(program, write) as configured,
            ExporterProcess(program, pbs.address) as plain,
            ExporterProcess(configured, pbs.address, scheme) as guarded,
        ):
            # A new file is read at each request for a while.
            time.sleep(SETTLED_SECONDS + 0.1)
            for exporter in (plain, guarded):
                program.check(exporter.scrape(**_HEADERS).body.decode())
            pairs = [(request(plain) * _MS, request(guarded) * _MS) for _ in range(benchmark.runs)]
            memory = guarded.memory()
        without = sorted(one for one, _ in pairs)
        return Measurement(
            unit="ms",
            values=[other - one for one, other in pairs],
            peak=memory["VmHWM"],
            steady=memory["VmRSS"],
            details=f"median without: {without[len(without) // 2]:.2f} ms",
        )

    return measure


@contextlib.contextmanager
def _configured(program: Program, write: Callable[[Path], str]) -> Iterator[Program]:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "web.yml"
        file.write_text(write(file.parent))
        variables = {**program.environment, "PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE": str(file)}
        yield msgspec.structs.replace(program, environment=variables)


login = _compared(_login, "http", _head)
"""A request with a login that was right before."""

tls = _compared(_tls, "https", _scrape)
"""A scrape over a kept connection with TLS."""
