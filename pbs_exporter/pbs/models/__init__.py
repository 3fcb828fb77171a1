"""The parts of PBS's answers that are used, as Structs: one file per area of the API."""

from pbs_exporter.pbs.models.base import ApiObject
from pbs_exporter.pbs.models.datastore import (
    Datastore,
    DatastoreStatus,
    GcJob,
    GcStatus,
    Namespace,
    S3Statistics,
    Usage,
)
from pbs_exporter.pbs.models.jobs import Job
from pbs_exporter.pbs.models.node import (
    BootInfo,
    CpuInfo,
    DatedVersion,
    Disk,
    FileSystem,
    Kernel,
    Memory,
    NodeStatus,
    Point,
    Pool,
    Service,
    Subscription,
    Token,
    Update,
    User,
    Version,
)
from pbs_exporter.pbs.models.rrd import DatastorePast, HostPast, PastRow
from pbs_exporter.pbs.models.snapshots import ENCRYPTED, File, GroupRow, Snapshot, Verification
from pbs_exporter.pbs.models.tape import TapeDrive, TapeMedium
from pbs_exporter.pbs.models.tasks import Task, newest_start, upid_start

__all__ = [
    "ENCRYPTED",
    "ApiObject",
    "BootInfo",
    "CpuInfo",
    "Datastore",
    "DatastorePast",
    "DatastoreStatus",
    "DatedVersion",
    "Disk",
    "File",
    "FileSystem",
    "GcJob",
    "GcStatus",
    "GroupRow",
    "HostPast",
    "Job",
    "Kernel",
    "Memory",
    "Namespace",
    "NodeStatus",
    "PastRow",
    "Point",
    "Pool",
    "S3Statistics",
    "Service",
    "Snapshot",
    "Subscription",
    "TapeDrive",
    "TapeMedium",
    "Task",
    "Token",
    "Update",
    "Usage",
    "User",
    "Verification",
    "Version",
    "newest_start",
    "upid_start",
]
