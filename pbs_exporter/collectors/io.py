"""Network and disk I/O of the host, and disk I/O of datastores."""

from collections.abc import Iterator
from typing import ClassVar

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Point

_API = "(/status/metrics, {})."

_STORE = "datastore/"


def _host(name: str, what: str, field: str) -> Metric:
    return Metric(f"pbs_host_{name}_bytes_total", f"{what} {_API.format(field)}", type="counter")


def _datastore(name: str, what: str, field: str) -> Metric:
    text = (
        f"Bytes {what} the datastore's block device or ZFS dataset; other datastores may share it {_API.format(field)}"
    )
    return Metric(f"pbs_datastore_{name}_bytes_total", text, ("datastore",), "counter")


class IoCollector(Collector[list[Point]]):
    """Takes counters of PBS's own metrics, which other collectors don't have."""

    name = "io"
    help = "Network and disk traffic of the host, and disk traffic of datastores. Needs PBS 3.3."
    needs = (Need("Sys.Audit", "/system/status", "Audit"), Need("Datastore.Audit", "/datastore", "Audit"))

    HOST: ClassVar = {
        "net_in": _host("network_receive", "Bytes received over all physical network interfaces", "net_in"),
        "net_out": _host("network_transmit", "Bytes sent over all physical network interfaces", "net_out"),
        "disk_read": _host("disk_read", "Bytes read from the root file system's device", "disk_read"),
        "disk_write": _host("disk_written", "Bytes written to the root file system's device", "disk_write"),
    }
    DATASTORE: ClassVar = {
        "disk_read": _datastore("read", "read from", "disk_read"),
        "disk_write": _datastore("written", "written to", "disk_write"),
    }
    metrics = (*HOST.values(), *DATASTORE.values())

    async def fetch(self, request: CollectorRequest) -> Result[list[Point]]:
        """Ask for PBS's own metrics."""
        return of_rows(await request.pbs.metrics())

    def samples(self, points: list[Point], _context: Context) -> Iterator[Sample]:
        """Make samples of the counters."""
        # PBS sorts them by time, so the newest one wins.
        newest = {(point.id, point.metric): point.value for point in points}
        for (subject, name), value in newest.items():
            if subject == "host" and name in self.HOST:
                yield from self.HOST[name](value)
            elif subject.startswith(_STORE) and name in self.DATASTORE:
                yield from self.DATASTORE[name](value, subject.removeprefix(_STORE))
