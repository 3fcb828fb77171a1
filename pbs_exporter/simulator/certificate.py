"""The self-signed certificate of a simulated PBS, which like that of every PBS has the serial number 0.

Libraries refuse to make one with this number, so its bytes (DER) are written here.
"""

import base64
import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from pbs_exporter.simulator.p256 import SIZE, PrivateKey

NAMES = ("localhost", "127.0.0.1", "::1")

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OBJECT = 0x01, 0x02, 0x03, 0x04, 0x06
_TEXT, _UTC_TIME, _GENERALIZED_TIME, _SEQUENCE, _SET = 0x0C, 0x17, 0x18, 0x30, 0x31
_DNS_NAME, _ADDRESS, _KEY_ID = 0x82, 0x87, 0x80
_LONG_FORM = 0x80
_UTC_TIME_YEARS = range(1950, 2050)


class Certificate(msgspec.Struct, frozen=True):
    """A private key and its certificate, in memory."""

    key_pem: bytes
    pem: bytes
    fingerprint: str
    """SHA-256 as PBS shows it: lower case hex with colons."""

    @classmethod
    def make(
        cls,
        names: Sequence[str] = NAMES,
        *,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> Self:
        """Return a new one for `names` (host names and addresses), by default valid from yesterday for ten years."""
        now = dt.datetime.now(dt.UTC)
        key = PrivateKey.make()
        subject = _list(_name("2.5.4.10", "Proxmox Backup Server"), _name("2.5.4.3", "pbs1"))
        algorithm = _list(_object("1.2.840.10045.4.3.2"))
        signed = _list(
            _element(0xA0, _integer(2)),
            _integer(0),
            algorithm,
            subject,
            _list(_date(not_before or now - dt.timedelta(days=1)), _date(not_after or now + dt.timedelta(days=3650))),
            subject,
            _list(_list(_object("1.2.840.10045.2.1"), _CURVE), _bits(key.public_bytes)),
            _element(0xA3, _list(*_extensions(names, key))),
        )
        der = _list(signed, algorithm, _bits(_list(*map(_integer, key.sign(signed)))))
        private = _list(
            _integer(1),
            _element(_OCTET_STRING, key.number.to_bytes(SIZE, "big")),
            _element(0xA0, _CURVE),
            _element(0xA1, _bits(key.public_bytes)),
        )
        return cls(
            key_pem=_pem("EC PRIVATE KEY", private),
            pem=_pem("CERTIFICATE", der),
            fingerprint=hashlib.sha256(der).digest().hex(":"),
        )

    def write(self, folder: Path) -> Path:
        """Write `certificate.pem` and `key.pem` into `folder`. Return the path of `certificate.pem`."""
        path = folder / "certificate.pem"
        path.write_bytes(self.pem)
        key = folder / "key.pem"
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return path


def server_context(certificate_file: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with this certificate and the `key.pem` in the same directory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_file, certificate_file.with_name("key.pem"))
    return context


def _extensions(names: Sequence[str], key: PrivateKey) -> list[bytes]:
    """Return those that the certificate of a PBS has."""
    key_id = hashlib.sha1(key.public_bytes, usedforsecurity=False).digest()
    return [
        _extension("2.5.29.14", _element(_OCTET_STRING, key_id)),
        _extension("2.5.29.35", _list(_element(_KEY_ID, key_id))),
        _extension("2.5.29.19", _list(_TRUE), critical=True),
        _extension("2.5.29.17", _list(*map(_general_name, names))),
    ]


def _extension(identifier: str, value: bytes, *, critical: bool = False) -> bytes:
    return _list(_object(identifier), _TRUE if critical else b"", _element(_OCTET_STRING, value))


def _general_name(name: str) -> bytes:
    try:
        return _element(_ADDRESS, ipaddress.ip_address(name).packed)
    except ValueError:
        return _element(_DNS_NAME, name.encode("ascii"))


def _name(identifier: str, text: str) -> bytes:
    return _element(_SET, _list(_object(identifier), _element(_TEXT, text.encode())))


def _date(moment: dt.datetime) -> bytes:
    moment = moment.astimezone(dt.UTC)
    if moment.year in _UTC_TIME_YEARS:
        return _element(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
    return _element(_GENERALIZED_TIME, f"{moment.year:04}{moment:%m%d%H%M%SZ}".encode())


def _integer(number: int) -> bytes:
    return _element(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _object(identifier: str) -> bytes:
    first, second, *others = map(int, identifier.split("."))
    content = bytearray([40 * first + second])
    for number in others:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return _element(_OBJECT, bytes(content))


def _bits(data: bytes) -> bytes:
    return _element(_BIT_STRING, b"\0" + data)


def _list(*elements: bytes) -> bytes:
    return _element(_SEQUENCE, b"".join(elements))


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _LONG_FORM:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_FORM + len(size)]) + size + content


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""])


_TRUE = _element(_BOOLEAN, b"\xff")
_CURVE = _object("1.2.840.10045.3.1.7")
