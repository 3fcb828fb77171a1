"""PBS's certificate."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Result
from pbs_exporter.errors import TlsFailed
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.http.certificate_dates import certificate_dates

NOT_SEEN = "no certificate seen yet"
"""Why there are no dates while PBS has never been reached."""


class CertificateCollector(Collector[bool]):
    """Reads the certificate of a handshake that other requests made."""

    name = "certificate"
    help = "Validity of PBS's certificate, whether or not it is verified. Nothing over plain HTTP."

    NOT_AFTER = Metric(
        "pbs_certificate_not_after_timestamp_seconds",
        "When the certificate of the newest TLS handshake with PBS expires, whether trusted or not (TLS, notAfter).",
    )
    NOT_BEFORE = Metric(
        "pbs_certificate_not_before_timestamp_seconds",
        "When the certificate of the newest TLS handshake with PBS becomes valid, whether trusted or not "
        "(TLS, notBefore).",
    )
    metrics = (NOT_AFTER, NOT_BEFORE)

    async def fetch(self, request: CollectorRequest) -> Result[bool]:
        """Ask nothing. Return whether there must be a certificate."""
        return Result(request.settings.endpoint.startswith("https:"))

    def samples(self, tls: bool, context: Context) -> Iterator[Sample]:  # noqa: FBT001 - fetch's answer
        """Make samples of the certificate of the newest connection, which may be older than this scrape."""
        if not tls:
            return
        if context.certificate is None:
            raise TlsFailed(NOT_SEEN)
        dates = certificate_dates(context.certificate)
        yield from self.NOT_AFTER(dates.not_after.timestamp())
        yield from self.NOT_BEFORE(dates.not_before.timestamp())
