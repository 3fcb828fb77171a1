"""`tls_server_config`: from settings to the TLS of connections."""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from socket import socket
from typing import Any, Self, TypeVar

import msgspec

from pbs_exporter.config import Secret
from pbs_exporter.config.values import InvalidValue, quote

T = TypeVar("T")

VERSIONS: Mapping[str, ssl.TLSVersion | None] = {
    "TLS13": ssl.TLSVersion.TLSv1_3,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS11": None,
    "TLS10": None,
}
"""`None` are those that OpenSSL's security level of today forbids."""

CIPHERS: Mapping[str, str | None] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": None,
    "TLS_RSA_WITH_AES_256_GCM_SHA384": None,
    "TLS_RSA_WITH_AES_128_CBC_SHA": None,
    "TLS_RSA_WITH_AES_256_CBC_SHA": None,
}
"""Go's names of suites up to TLS 1.2. `None` are those without forward secrecy, which Go itself has given up."""

TLS13_CIPHERS = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
"""Always on with TLS 1.3; Go ignores their presence in the list."""

CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
    "X25519MLKEM768": "X25519MLKEM768",
    "SecP256r1MLKEM768": "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024": "SecP384r1MLKEM1024",
}

CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "RequireClientCert": ssl.CERT_REQUIRED,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


_MFD_NOEXEC_SEAL = 8
"""Python has no name for it."""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """TLS of our own port. Files are PEM."""

    certificate: bytes
    key: Secret
    client_ca: bytes | None = None
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    client_allowed_sans: frozenset[str] | None = None
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: tuple[str, ...] = ()
    """OpenSSL's names, for TLS up to 1.2; empty for Python's choice."""
    prefer_own_order: bool = True
    curve: str | None = None


connecting: ContextVar[socket | None] = ContextVar("connecting", default=None)
"""The socket of the connection that the task makes."""


class Context(ssl.SSLContext):
    """Delegates to the context that is current when a connection begins. `renew` may replace it before."""

    current: ssl.SSLContext
    renew: Callable[[], None]

    def __new__(cls) -> Self:
        """Make one without anything of its own."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401 - ssl's
        """Begin a connection. asyncio calls this once for each, with the memory for what comes and what goes."""
        self.renew()
        connection = self.current.wrap_bio(*arguments, **options)
        if isinstance(connection, Connection):
            _, connection.outgoing = arguments
            connection.plain = connecting.get()
        return connection


class Connection(ssl.SSLObject):
    """Ends a handshake with a client whose certificate has none of the allowed names.

    It also sends the alert of a failed handshake. asyncio drops it, so that the client wouldn't learn the reason.
    """

    allowed: frozenset[str] | None = None
    outgoing: ssl.MemoryBIO
    plain: socket | None = None

    def do_handshake(self) -> None:
        """Do a part of the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.plain is not None and self.outgoing.pending:
                with suppress(OSError):
                    self.plain.send(self.outgoing.read())
            raise
        self.plain = None
        if self.allowed is not None and not has_allowed_san(self.getpeercert(), self.allowed):
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the client's certificate has none of client_allowed_sans")


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context. Raises `InvalidValue` with what can't be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = settings.minimum, settings.maximum
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = type("Connection", (Connection,), {"allowed": settings.client_allowed_sans})
    # Each connection proves anew who it is: a session would outlive the client's certificate.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if not settings.prefer_own_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        try:
            context.set_ciphers(":".join(settings.ciphers))
        except ssl.SSLError:
            raise InvalidValue("cipher_suites: OpenSSL on this machine has none of them") from None
    if settings.curve is not None:
        context.set_ecdh_curve(settings.curve)
    try:
        _load_certificate(context, settings)
        if settings.client_auth != ssl.CERT_NONE:
            _load_client_ca(context, settings)
    except OSError as error:
        raise InvalidValue(f"cert: there is no place for a temporary file ({error.strerror})") from None
    return context


def first_curve(names: Sequence[str]) -> str:
    """Return OpenSSL's name of the first curve that it has. Python can set one alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in names:
        try:
            context.set_ecdh_curve(CURVES[name])
        except (ValueError, ssl.SSLError):
            continue
        return CURVES[name]
    raise InvalidValue(f"OpenSSL on this machine has none of {', '.join(names)}")


def one_of(table: Mapping[str, T], name: str) -> T:
    """Return what the table has for this name."""
    if name not in table:
        raise InvalidValue(f"{quote(name)} is not one of the choices; write one of {', '.join(table)}")
    return table[name]


def has_allowed_san(certificate: Mapping[str, Any] | None, allowed: frozenset[str]) -> bool:
    """Whether one of the certificate's names is allowed. `certificate` is what `getpeercert` returns."""
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return any(_as_go_writes(kind, value) in allowed for kind, value in names)


def _as_go_writes(kind: str, value: str) -> str | None:
    if kind == "IP Address":
        try:
            return str(ipaddress.ip_address(value.strip()))
        except ValueError:
            return None
    return value if kind in {"DNS", "email", "URI"} else None


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    key = settings.key.reveal().encode("latin-1")
    try:
        with _as_file(settings.certificate) as certificate, _as_file(key) as key_file:
            # The password is asked for only if the key is encrypted. Without this, OpenSSL would ask the terminal.
            context.load_cert_chain(certificate, key_file, password=_no_password)
    except _EncryptedKey:
        raise InvalidValue("key: is encrypted; decrypt it, the exporter can't ask for a password") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidValue("key: doesn't belong to the certificate") from None
        raise InvalidValue("cert and key: are not a certificate chain and its private key in PEM format") from None


def _load_client_ca(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.client_ca is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    else:
        try:
            with _as_file(settings.client_ca) as file:
                context.load_verify_locations(file)
        except ssl.SSLError:
            raise InvalidValue("client_ca: is not a certificate in PEM format") from None
        if not context.cert_store_stats()["x509"]:
            raise InvalidValue("client_ca: contains no certificate")
    # As in Go, an intermediate CA is trusted by itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = settings.client_auth


class _EncryptedKey(Exception):
    pass


def _no_password() -> str:
    raise _EncryptedKey


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with this content, which never reaches a disk where the system can do that."""
    number = _memory_file()
    with os.fdopen(number, "wb") if number is not None else tempfile.NamedTemporaryFile() as stream:
        stream.write(content)
        stream.flush()
        yield stream.name if number is None else f"/proc/self/fd/{number}"


def _memory_file() -> int | None:
    """Return the descriptor of a file in memory; `None` where the system has none."""
    if not hasattr(os, "memfd_create"):
        return None
    # Some kernels insist on a file that can't be executed, and old ones don't know the flag.
    for flags in (os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL, os.MFD_CLOEXEC):
        try:
            number = os.memfd_create("pem", flags)
        except OSError:
            continue
        if Path(f"/proc/self/fd/{number}").exists():
            return number
        os.close(number)
    return None
