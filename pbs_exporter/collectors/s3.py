"""What datastores asked of their S3 buckets."""

import asyncio
from collections.abc import Iterator, Mapping

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.errors import PbsError
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import S3Statistics

_API = (
    "since the datastore was made, or PBS was told to count anew; an endpoint that is down shows in tasks alone "
    "(/admin/datastore/{{store}}/status, s3-statistics.{})."
)

REQUESTS = Metric(
    "pbs_datastore_s3_requests_total",
    f"Requests to the datastore's S3 bucket that were answered, {_API.format('get, put, post, head, delete')}",
    ("datastore", "method"),
    "counter",
)
UPLOADED = Metric(
    "pbs_datastore_s3_uploaded_bytes_total",
    f"Bytes sent to the datastore's S3 bucket, {_API.format('uploaded')}",
    ("datastore",),
    "counter",
)
DOWNLOADED = Metric(
    "pbs_datastore_s3_downloaded_bytes_total",
    f"Bytes got from the datastore's S3 bucket, {_API.format('downloaded')}",
    ("datastore",),
    "counter",
)

METHODS = ("get", "put", "post", "head", "delete")

Statistics = Mapping[str, S3Statistics]
"""By datastore."""


async def fetch(ask: Ask) -> Statistics:
    """Ask each datastore that is in a bucket for its status."""
    stores = [row.store for row in await ask.datastores() if row.backend_type == "s3" and row.available]
    found = await asyncio.gather(*(_statistics(ask, store) for store in stores))
    return {store: statistics for store, statistics in zip(stores, found, strict=True) if statistics is not None}


async def _statistics(ask: Ask, store: str) -> S3Statistics | None:
    try:
        status = await ask.pbs.datastore_status(store)
    except PbsError as error:
        ask.datastore(store, error)
        return None
    ask.datastore(store, None)
    return status.s3_statistics


def samples(answer: Statistics, _context: Context) -> Iterator[Sample]:
    """Make the samples of each datastore that has statistics; PBS before 4.1.7 has none."""
    for store, statistics in answer.items():
        for method in METHODS:
            yield from REQUESTS(getattr(statistics, method), store, method)
        yield from UPLOADED(statistics.uploaded, store)
        yield from DOWNLOADED(statistics.downloaded, store)


COLLECTOR = Collector(
    name="s3",
    help="Requests and bytes between S3 datastores and their buckets.",
    metrics=(REQUESTS, UPLOADED, DOWNLOADED),
    needs=(Need("Datastore.Audit", "/datastore", "Audit"),),
    fetch=fetch,
    samples=samples,
)
