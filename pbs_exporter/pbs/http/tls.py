"""Which certificates to trust: any, those of the system's CAs, those of a CA file, or a single one."""

import asyncio
import ssl
from pathlib import Path
from weakref import WeakValueDictionary

import aiohttp
from yarl import URL

from pbs_exporter.config import TargetSettings
from pbs_exporter.errors import TlsFailed

_contexts: WeakValueDictionary[object, ssl.SSLContext] = WeakValueDictionary()

Trust = bool | ssl.SSLContext | aiohttp.Fingerprint
"""The `ssl=` argument of an aiohttp request."""


def trust(settings: TargetSettings) -> Trust:
    """Return the trust that the settings configure.

    With a fingerprint, the certificate's name and chain don't matter. aiohttp compares the fingerprint after the
    handshake and before it sends anything, so a server with another certificate never receives the token.
    """
    if settings.fingerprint is not None:
        return aiohttp.Fingerprint(settings.fingerprint)
    if not settings.verify_tls:
        return False
    return _context(settings.ca_file)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the CAs of this file, or of the system. Equal ones are shared: each is large."""
    key = ssl.get_default_verify_paths(), None if ca_file is None else ca_file.read_bytes()
    known = _contexts.get(key)
    if known is not None:
        return known
    context = _contexts[key] = ssl.create_default_context(cafile=ca_file)
    # What is trusted must not depend on the version of Python. 3.13 began to refuse the CAs that PVE and a plain
    # `openssl req -x509` make, which have no keyUsage, and to trust any certificate in `ca_file` as it is, like curl.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def peer_certificate(endpoint: str, timeout_seconds: float) -> bytes:
    """Return the certificate (DER) that the endpoint presents, trusted or not. No request is sent.

    Raises `OSError` (including `ssl.SSLError` and `TimeoutError`), and `TlsFailed` if there is no certificate.
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
