"""Measures scrapes, and what a web configuration of the exporter adds to a request."""

import base64
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import bcrypt
import msgspec

from benchmarks.benchmark import Benchmark, Measure
from benchmarks.measurement import Measurement
from benchmarks.processes import ExporterProcess, PbsProcess
from benchmarks.programs import Program
from pbs_exporter.simulator import Certificate
from pbs_exporter.web.port.current import SETTLED_SECONDS

_MS = 1_000
_MB = 1_000_000


def scrapes(benchmark: Benchmark, program: Program) -> Measurement:
    """Scrape once without measuring and `runs` times with it, and check the last response."""
    with PbsProcess(benchmark.input) as pbs, ExporterProcess(program, pbs.address) as exporter:
        listing = pbs.listing() if benchmark.compared else b""
        response = exporter.scrape(**benchmark.headers)
        times, loads, seen = [], [], []
        for _ in range(benchmark.runs):
            pbs.request_stats()
            response = exporter.scrape(**benchmark.headers)
            seen.append(pbs.request_stats())
            times.append(response.seconds * _MS)
            if listing:
                loads.append(loading(listing) * _MS)
        memory = exporter.settled_memory()
        if response.encoding:
            details = f"{len(response.body) / _MB:.2f} MB of {response.encoding}"
        else:
            text = response.body.decode()
            program.check(text)
            samples = sum(not line.startswith("#") for line in text.splitlines())
            details = f"{samples:,} samples"
    parts = [details, f"{_span([one.requests for one in seen])} requests"]
    if benchmark.input.latency:
        parts.append(f"{_span([one.rounds for one in seen])} rounds")
    if benchmark.input.deflate and any(one.deflate for one in seen):
        parts.append("deflated by PBS")
    if loads:
        parts.append(f"{len(listing) / _MB:.1f} MB of JSON, json.loads {median(loads):.0f} ms")
    return Measurement(
        unit="ms",
        values=times,
        compared_with=loads,
        peak=memory["VmHWM"],
        steady=memory["VmRSS"],
        details="; ".join(parts),
    )


def loading(body: bytes) -> float:
    """Return the time that `json.loads` takes for a body, in seconds."""
    started = time.perf_counter()
    json.loads(body)
    return time.perf_counter() - started


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"


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
            memory = guarded.settled_memory()
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


login_of_our_port = _compared(_login, "http", _head)
"""A request with a login that was right before."""

tls_of_our_port = _compared(_tls, "https", _scrape)
"""A scrape over a kept connection with TLS."""
