"""`pbs-exporter healthcheck`: requests the local `/health`, for containers. It needs no settings of PBS."""

import asyncio
import re
import ssl
import sys
from http import HTTPStatus

from pbs_exporter.config import ListenAddress

SECONDS = 2.0
"""Timeout of the request. The engine allows 10 s for the whole run, so that Python can start on a busy host."""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here

_NO_CLIENT_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
"""What a server says that wants a certificate, with TLS 1.3 and before. A program that doesn't run says nothing."""


def run(address: ListenAddress, has_web_config: bool) -> int:  # noqa: FBT001 - what `load_own_port` returns
    """Return 0 if the exporter on this address is healthy, otherwise 1 with a line on stderr."""
    try:
        status = asyncio.run(_status(address, maybe_tls=has_web_config))
    except OSError as error:
        print(f"pbs-exporter: no answer on {address}: {str(error) or 'timeout'}", file=sys.stderr)
        return 1
    except ValueError:
        print(f"pbs-exporter: no answer on {address} that is HTTP", file=sys.stderr)
        return 1
    if status != HTTPStatus.OK:
        print(f"pbs-exporter: status {status} on {address}", file=sys.stderr)
        return 1
    return 0


async def _status(address: ListenAddress, *, maybe_tls: bool) -> int:
    """Return the status of the answer.

    With a web configuration TLS is tried first. The file isn't read: it may have changed so that the exporter doesn't
    use what it says.
    """
    async with asyncio.timeout(SECONDS):
        if maybe_tls:
            try:
                return await _ask(address, _any_server())
            except ssl.SSLError as error:
                if error.reason in _NO_CLIENT_CERTIFICATE:
                    return HTTPStatus.OK
        return await _ask(address, None)


async def _ask(address: ListenAddress, tls: ssl.SSLContext | None) -> int:
    host = _LOOPBACK.get(address.host, address.host)
    reader, writer = await asyncio.open_connection(host, address.port, ssl=tls)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.readline()
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 "):
        return 0
    match = re.match(rb"[0-9]{3}(?=\s|\Z)", answer.removeprefix(b"HTTP/1.1 "))
    if match is None:
        raise ValueError("no status")
    return int(match[0])


def _any_server() -> ssl.SSLContext:
    """Return TLS with any certificate and any suite: nothing secret is sent, and nothing but `ok` expected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
