"""The certificate that PBS shows."""

from collections.abc import Iterator
from functools import lru_cache

from cryptography import x509

from pbs_exporter.collectors.base import Ask, Collector, Context
from pbs_exporter.errors import TlsFailed
from pbs_exporter.exposition.metric import Metric, Sample

NOT_AFTER = Metric(
    "pbs_certificate_not_after_timestamp_seconds",
    "When PBS's certificate expires; of the exporter's newest TLS handshake, trusted or not (TLS, notAfter).",
)
NOT_BEFORE = Metric(
    "pbs_certificate_not_before_timestamp_seconds",
    "From when on PBS's certificate is valid; of the exporter's newest TLS handshake, trusted or not (TLS, notBefore).",
)


async def fetch(ask: Ask) -> bool:
    """Ask nothing: tell whether there must be a certificate."""
    return ask.settings.endpoint.startswith("https:")


def samples(tls: bool, context: Context) -> Iterator[Sample]:  # noqa: FBT001 - what fetch gives
    """Make the samples of the certificate that came with a connection of this scrape, or of one before."""
    if not tls:
        return
    if context.certificate is None:
        raise TlsFailed("no certificate seen yet")
    certificate = _read(context.certificate)
    yield from NOT_AFTER(certificate.not_valid_after_utc.timestamp())
    yield from NOT_BEFORE(certificate.not_valid_before_utc.timestamp())


@lru_cache(maxsize=16)
def _read(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise TlsFailed("the certificate can't be read") from error


COLLECTOR = Collector(
    name="certificate",
    help="Validity of the certificate that PBS shows, whether or not it is verified; none over plain http.",
    metrics=(NOT_AFTER, NOT_BEFORE),
    needs=(),
    fetch=fetch,
    samples=samples,
)
