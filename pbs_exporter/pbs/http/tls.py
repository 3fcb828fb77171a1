"""Whom to trust: everybody, the system's CAs, a CA file, or one certificate."""

import asyncio
import ssl

import aiohttp
from yarl import URL

from pbs_exporter.config import TargetSettings
from pbs_exporter.errors import TlsFailed

Trust = bool | ssl.SSLContext | aiohttp.Fingerprint
"""What aiohttp takes as `ssl=` of a request."""


def trust(settings: TargetSettings) -> Trust:
    """Give what the settings say whom to trust.

    With a fingerprint the certificate's name and chain don't matter. aiohttp compares it after the handshake
    and before it sends anything, so a wrong certificate never sees the token.
    """
    if settings.fingerprint is not None:
        return aiohttp.Fingerprint(settings.fingerprint)
    if not settings.verify_tls:
        return False
    return ssl.create_default_context(cafile=settings.ca_file)


async def peer_certificate(endpoint: str, timeout_seconds: float) -> bytes:
    """Give the certificate (DER) that the endpoint shows, trusted or not. Nothing is sent to it.

    Raises `OSError` (of which `ssl.SSLError` and `TimeoutError` are kinds), and `TlsFailed` if there is none.
    """
    url = URL(endpoint)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(timeout_seconds):
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    if certificate is None:
        raise TlsFailed("the endpoint showed no certificate")
    return bytes(certificate)
