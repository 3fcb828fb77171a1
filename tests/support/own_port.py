"""A port with a web configuration, and clients for it."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import trustme

from pbs_exporter.commands import serve
from pbs_exporter.config import ExporterSettings
from pbs_exporter.open_connections import ConnectionLimits
from pbs_exporter.simulator import SimulatedPbs
from tests.support.exporter import make_settings
from tests.support.program import WAIT

CA = trustme.CA()
OTHER_CA = trustme.CA()


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


ALICE = f"basic_auth_users:\n  alice: {hashed('secret')}\n"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
METRIC = "pbs_exporter_web_config_last_load_successful"


class Port:
    """A port that a web configuration in a folder describes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def write(self, text: str, name: str = "web.yml") -> None:
        """Replace a file as one should: write a new one, and rename it."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").replace(self.folder / name)

    async def connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(WAIT):
            return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)

    async def raw(self, request: bytes, tls: ssl.SSLContext | None = None) -> str:
        """Return all that the port sends for these bytes, to the end of the connection."""
        reader, writer = await self.connect(tls)
        writer.write(request)
        async with asyncio.timeout(WAIT):
            answer = await reader.read()
        writer.close()
        return answer.decode()

    async def get(
        self, path: str = "/metrics", login: str | None = None, tls: ssl.SSLContext | None = None, method: str = "GET"
    ) -> str:
        """Return the response to a request, with its head. `login` is USER:PASSWORD."""
        sent = "" if login is None else f"Authorization: {basic(login)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{sent}\r\n"
        return await self.raw(head.encode(), tls)


def basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def status(answer: str) -> int:
    return int(answer.split(" ")[1])


def write_certificate(folder: Path, name: str = "server", ca: trustme.CA = CA) -> trustme.LeafCert:
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / f"{name}.crt").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    return certificate


def prepare(folder: Path) -> Path:
    """Put the certificate of a server and the CA of clients into a folder, and return it."""
    write_certificate(folder)
    CA.cert_pem.write_to_path(folder / "ca.crt")
    return folder


@asynccontextmanager
async def port(pbs: SimulatedPbs, folder: Path, text: str, **limits: float) -> AsyncIterator[Port]:
    """Serve with this web configuration."""
    (folder / "web.yml").write_text(text)
    exporter = ExporterSettings(process_metrics=False, web_config_file=folder / "web.yml")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        given = ConnectionLimits(**limits) if limits else None  # type: ignore[arg-type]
        async with serve._serving(make_settings(pbs, exporter=exporter), [listening], given):
            yield Port(folder, number)


def client(
    certificate: trustme.LeafCert | None = None, *, ca: trustme.CA = CA, **options: ssl.TLSVersion
) -> ssl.SSLContext:
    """Return the TLS of a client that verifies the server, with a certificate of its own if one is given."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    for name, value in options.items():
        setattr(context, name, value)
    return context


async def refused(port: Port, tls: ssl.SSLContext) -> bool:
    """Whether a client gets no answer because of TLS. With TLS 1.3 it learns that only when it reads."""
    try:
        return await port.get("/health", tls=tls) == ""
    except OSError:
        return True
