"""The real prometheus-pve-exporter, in front of a small fake of Proxmox VE that answers only what it asks."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import trustme

from tests.monitoring.servers import HOST, Server
from tests.support.cache import cached
from tests.support.commands import environment, process, run
from tests.support.program import closed_port
from tests.support.waiting import poll

VERSION = "3.10.2"
_REQUIREMENTS = Path(__file__).with_name("pve_exporter") / "requirements.txt"
_TOKEN = ("exporter@pve", "prometheus", "11111111-2222-3333-4444-555555555555")


class Guest(NamedTuple):
    """A virtual machine (`qemu`) or a container (`lxc`)."""

    type: str
    vmid: int
    name: str
    template: int = 0
    tags: str = ""

    def row(self) -> dict[str, Any]:
        """Return its row of `/cluster/resources`, as Proxmox VE 9 has it. A guest without tags has no such key."""
        row = {
            "id": f"{self.type}/{self.vmid}",
            "node": "pve1",
            "status": "running",
            "maxcpu": 2,
            "maxdisk": 34359738368,
            "maxmem": 4294967296,
            "uptime": 1000,
            **self._asdict(),
        }
        return row if self.tags else {key: value for key, value in row.items() if key != "tags"}


class PveExporter(Server):
    """A running prometheus-pve-exporter."""

    def __init__(self, port: int, target: str) -> None:
        super().__init__(port)
        self.target = target

    @property
    def path(self) -> str:
        """The page of the cluster."""
        return f"/pve?target={self.target}&cluster=1&node=0"


@contextmanager
def pve_exporter(folder: Path, guests: Sequence[Guest]) -> Iterator[PveExporter]:
    """Run the exporter in front of a fake cluster with these guests for the duration of the block."""
    user, token, value = _TOKEN
    file = folder / "pve.yml"
    settings = {"user": user, "token_name": token, "token_value": value, "verify_ssl": False}
    file.write_text(json.dumps({"default": settings}), encoding="utf-8")
    with _fake(guests) as port:
        running = PveExporter(closed_port(), f"{HOST}:{port}")
        # The folder was renamed, so the path in the programs of its environment is wrong.
        command = (_installed() / "bin" / "python", "-m", "pve_exporter", f"--config.file={file}")
        address = f"--web.listen-address={running.address}"
        with process(*command, address, log=folder / "pve.log", env=environment(), cwd=folder):
            poll(lambda: running.ready(running.path), f"the page of Proxmox VE: {folder / 'pve.log'}", 120)
            yield running


def _installed() -> Path:
    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", folder / "venv")
        pip = (folder / "venv" / "bin" / "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "install", "--require-hashes", "--requirement", _REQUIREMENTS)

    return cached("pve-exporter", (_REQUIREMENTS.read_text(encoding="utf-8"), sys.version), install) / "venv"


@contextmanager
def _fake(guests: Sequence[Guest]) -> Iterator[int]:
    status = [
        {"id": "cluster", "name": "pve", "nodes": 1, "quorate": 1, "type": "cluster", "version": 1},
        {"id": "node/pve1", "ip": HOST, "level": "", "local": 1, "name": "pve1", "nodeid": 1, "online": 1}
        | {"type": "node"},
    ]
    answers = {
        "/cluster/status": status,
        "/cluster/resources": [guest.row() for guest in guests],
        "/cluster/backup-info/not-backed-up": [],
        "/cluster/config/qdevice": {},
        "/version": {"release": "9.0", "repoid": "0123456789abcdef", "version": "9.0.3"},
    }
    user, token, value = _TOKEN

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            data: Any = answers.get(url.path.removeprefix("/api2/json"))
            if self.headers["Authorization"] != f"PVEAPIToken={user}!{token}={value}":
                self._send(HTTPStatus.UNAUTHORIZED, None)
            elif url.query == "type=storage":
                self._send(HTTPStatus.OK, [])
            else:
                self._send(HTTPStatus.OK if data is not None else HTTPStatus.NOT_IMPLEMENTED, data)

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, status: HTTPStatus, data: Any) -> None:
            body = json.dumps({"data": data}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json;charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    context = SSLContext(PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
