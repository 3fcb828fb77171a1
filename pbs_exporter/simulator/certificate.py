"""The self-signed certificate of a simulated PBS."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "127.0.0.1", "::1")


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
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Proxmox Backup Server"),
                x509.NameAttribute(NameOID.COMMON_NAME, "pbs1"),
            ],
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - dt.timedelta(days=1))
            .not_valid_after(not_after or now + dt.timedelta(days=3650))
        )
        for extension, critical in _extensions(names, key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(key, hashes.SHA256())
        return cls(
            key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            pem=certificate.public_bytes(Encoding.PEM),
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":"),
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


def _extensions(
    names: Sequence[str],
    key: ec.EllipticCurvePublicKey,
) -> list[tuple[x509.ExtensionType, bool]]:
    # Python 3.13's strict verification requires all of these of a self-signed certificate.
    key_usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (key_usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
