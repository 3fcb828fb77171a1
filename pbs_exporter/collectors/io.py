"""Network and disk I/O of the host, and disk I/O of datastores."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Point

_API = "(/status/metrics, {})."
_STORE = "datastore/"


def _host(name: str, what: str, field: str) -> Metric:
    return Metric(f"pbs_host_{name}_bytes_total", f"{what} {_API.format(field)}", type="counter")


def _datastore(name: str, what: str, field: str) -> Metric:
    text = f"Bytes {what} the datastore's block device or ZFS dataset, which others may share {_API.format(field)}"
    return Metric(f"pbs_datastore_{name}_bytes_total", text, ("datastore",), "counter")


HOST = {
    "net_in": _host("network_receive", "Bytes that came in over all physical network interfaces", "net_in"),
    "net_out": _host("network_transmit", "Bytes that went out over all physical network interfaces", "net_out"),
    "disk_read": _host("disk_read", "Bytes read from the root file system's device", "disk_read"),
    "disk_write": _host("disk_written", "Bytes written to the root file system's device", "disk_write"),
}
DATASTORE = {
    "disk_read": _datastore("read", "read from", "disk_read"),
    "disk_write": _datastore("written", "written to", "disk_write"),
}


async def fetch(ask: Ask) -> list[Point]:
    """Ask for PBS's own metrics."""
    return ask.rows(await ask.pbs.metrics())


def samples(points: list[Point], _context: Context) -> Iterator[Sample]:
    """Make the samples of the counters, which other collectors don't get elsewhere."""
    # They are sorted by time: of several the last is the newest.
    newest = {(point.id, point.metric): point.value for point in points}
    for (subject, name), value in newest.items():
        if subject == "host" and name in HOST:
            yield from HOST[name](value)
        elif subject.startswith(_STORE) and name in DATASTORE:
            yield from DATASTORE[name](value, subject.removeprefix(_STORE))


COLLECTOR = Collector(
    name="io",
    help="Bytes over the host's network and disks, and those of datastores; not before PBS 3.3.",
    metrics=(*HOST.values(), *DATASTORE.values()),
    needs=(Need("Sys.Audit", "/system/status", "Audit"), Need("Datastore.Audit", "/datastore", "Audit")),
    fetch=fetch,
    samples=samples,
)
