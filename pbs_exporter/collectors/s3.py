"""Traffic between datastores and their S3 buckets."""

import asyncio
from collections.abc import Iterator, Mapping

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.errors import PbsError
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import S3Statistics

_SINCE = "since the datastore was created or its counters were reset"
_API = "(/admin/datastore/{{store}}/status, s3-statistics.{})."

METHODS = ("get", "put", "post", "head", "delete")

Statistics = Mapping[str, S3Statistics]
"""Statistics by datastore."""


class S3Collector(Collector[Statistics]):
    """Asks each datastore that has an S3 bucket for its status."""

    name = "s3"
    help = "Traffic between datastores and their S3 buckets."
    needs = (Need("Datastore.Audit", "/datastore", "Audit"),)

    REQUESTS = Metric(
        "pbs_datastore_s3_requests_total",
        f"Answered requests to the datastore's S3 bucket {_SINCE}; only tasks show that an endpoint is down "
        f"{_API.format('get, put, post, head, delete')}",
        ("datastore", "method"),
        "counter",
    )
    UPLOADED = Metric(
        "pbs_datastore_s3_uploaded_bytes_total",
        f"Bytes sent to the datastore's S3 bucket {_SINCE} {_API.format('uploaded')}",
        ("datastore",),
        "counter",
    )
    DOWNLOADED = Metric(
        "pbs_datastore_s3_downloaded_bytes_total",
        f"Bytes received from the datastore's S3 bucket {_SINCE} {_API.format('downloaded')}",
        ("datastore",),
        "counter",
    )
    metrics = (REQUESTS, UPLOADED, DOWNLOADED)

    async def fetch(self, request: CollectorRequest) -> Result[Statistics]:
        """Ask for the status of each datastore that has an S3 bucket."""
        with Findings() as found:
            rows = found.take(*await request.datastores())
            stores = [row.store for row in rows if row.backend_type == "s3" and row.available]
            ask = request.pbs.datastore_status
            answers = await asyncio.gather(*(found.attempt_datastore(store, ask) for store in stores))
            return found.result(
                {
                    store: answer.s3_statistics
                    for store, answer in zip(stores, answers, strict=True)
                    if not isinstance(answer, PbsError) and answer.s3_statistics is not None
                }
            )

    def samples(self, answer: Statistics, _context: Context) -> Iterator[Sample]:
        """Make samples of each datastore that has statistics. PBS before 4.1.7 has none."""
        for store, statistics in answer.items():
            for method in METHODS:
                yield from self.REQUESTS(getattr(statistics, method), store, method)
            yield from self.UPLOADED(statistics.uploaded, store)
            yield from self.DOWNLOADED(statistics.downloaded, store)
