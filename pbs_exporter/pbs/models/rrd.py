"""What PBS keeps of its past: averages over steps of a minute up to a week."""

from pbs_exporter.pbs.models.base import ApiObject


class PastRow(ApiObject, frozen=True):
    """A step. `time` lies in it, where depends on when PBS was asked."""

    time: int


class DatastorePast(PastRow, frozen=True):
    """A row of `GET /admin/datastore/{store}/rrd`."""

    total: float | None = None
    used: float | None = None
    available: float | None = None


class HostPast(PastRow, frozen=True):
    """A row of `GET /nodes/localhost/rrd`. `total` and `used` are those of the root file system."""

    cpu: float | None = None
    iowait: float | None = None
    loadavg: float | None = None
    memtotal: float | None = None
    memused: float | None = None
    swaptotal: float | None = None
    swapused: float | None = None
    total: float | None = None
    used: float | None = None
