"""What is read of PBS's answers.

PBS leaves out what it doesn't know, or says `null`: both are `None` here. Fields that aren't named here are
skipped. Times are Unix seconds, sizes bytes.
"""

import re

import msgspec


class Answer(msgspec.Struct, frozen=True, rename="kebab"):
    """Base: most of PBS's objects name their fields in kebab-case."""


class Version(Answer, frozen=True):
    """`GET /version`. The full version is `version` and `release` with a dot between."""

    version: str | None = None
    release: str | None = None
    repoid: str | None = None


class CpuInfo(Answer, frozen=True):
    """The processors of the host."""

    cpus: int | None = None
    model: str | None = None


class Kernel(Answer, frozen=True):
    """The running kernel."""

    release: str | None = None


class BootInfo(Answer, frozen=True):
    """How the host was started."""

    mode: str | None = None
    secureboot: bool | None = None


class Memory(Answer, frozen=True):
    """Memory or swap."""

    total: int | None = None
    used: int | None = None
    free: int | None = None


class FileSystem(Answer, frozen=True):
    """A file system as `statfs` sees it; `avail` is without the reserved blocks."""

    total: int | None = None
    used: int | None = None
    avail: int | None = None


class S3Statistics(Answer, frozen=True):
    """What was asked of an S3 bucket since the datastore was made, or since PBS was told to count anew; bytes."""

    get: int | None = None
    put: int | None = None
    post: int | None = None
    head: int | None = None
    delete: int | None = None
    uploaded: int | None = None
    downloaded: int | None = None


class DatastoreStatus(FileSystem, frozen=True):
    """`GET /admin/datastore/{store}/status`. All sizes are 0 where rights are missing."""

    s3_statistics: S3Statistics | None = None


class NodeStatus(Answer, frozen=True):
    """`GET /nodes/localhost/status`. `cpu` and `wait` lie between 0 and 1."""

    cpu: float | None = None
    wait: float | None = None
    loadavg: tuple[float | None, float | None, float | None] | None = None
    uptime: int | None = None
    memory: Memory | None = None
    swap: Memory | None = None
    root: FileSystem | None = None
    cpuinfo: CpuInfo | None = None
    current_kernel: Kernel | None = None
    boot_info: BootInfo | None = None


_PROPERTY = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_READABLE = (None, "read-only")


class Datastore(Answer, frozen=True):
    """A row of `GET /admin/datastore`. `maintenance` is a property string; see `mode`."""

    store: str
    comment: str | None = None
    maintenance: str | None = None
    mount_status: str | None = None
    backend_type: str | None = None

    @property
    def mode(self) -> str | None:
        """The maintenance mode: the first property that is `type=…` or has no name."""
        for match in _PROPERTY.finditer(self.maintenance or ""):
            name, equals, value = match[0].strip().partition("=")
            if not equals or name == "type":
                return (value or name).strip('"')
        return None

    @property
    def available(self) -> bool:
        """Whether PBS answers questions about it: it is mounted, and in no maintenance but read-only."""
        return self.mode in _READABLE and self.mount_status != "notmounted"


class GcStatus(Answer, frozen=True):
    """Counters of the last garbage collection that succeeded. `upid` is `None` if none ever did."""

    upid: str | None = None
    index_data_bytes: int | None = None
    disk_bytes: int | None = None
    disk_chunks: int | None = None
    removed_bytes: int | None = None
    removed_chunks: int | None = None
    pending_bytes: int | None = None
    pending_chunks: int | None = None
    still_bad: int | None = None


class GcJob(GcStatus, frozen=True, kw_only=True):
    """A row of `GET /admin/gc`. `last_run_*` are of the last run, whether it succeeded or not."""

    store: str
    duration: int | None = None
    last_run_endtime: int | None = None
    last_run_state: str | None = None
    next_run: int | None = None


class Usage(FileSystem, frozen=True, kw_only=True):
    """A row of `GET /status/datastore-usage`. Sizes are of the whole file system."""

    store: str
    mount_status: str | None = None
    error: str | None = None
    estimated_full_date: int | None = None
    gc_status: GcStatus | None = None


class Namespace(Answer, frozen=True):
    """A row of `GET /admin/datastore/{store}/namespace`. The root is `""`."""

    ns: str


class File(Answer, frozen=True, gc=False):
    """A file of a snapshot."""

    filename: str
    crypt_mode: str | None = None


class Verification(Answer, frozen=True, gc=False):
    """The result of a snapshot's newest verification."""

    state: str | None = None
    upid: str | None = None


class Snapshot(Answer, frozen=True, gc=False):
    """A row of `GET /admin/datastore/{store}/snapshots`. `size` is logical; there is none without a manifest."""

    backup_type: str
    backup_id: str
    backup_time: int
    comment: str | None = None
    size: int | None = None
    owner: str | None = None
    protected: bool | None = None
    verification: Verification | None = None
    files: list[File] | None = None

    @property
    def encrypted(self) -> bool:
        """Whether any file is encrypted. One that is only signed is not."""
        return "encrypt" in [file.crypt_mode for file in self.files or ()]

    @property
    def has_manifest(self) -> bool:
        """Whether the manifest is there, readable or not."""
        return any(file.filename == "index.json.blob" for file in self.files or ())


class Group(Answer, frozen=True):
    """A row of `GET /admin/datastore/{store}/groups`.

    `last_backup` is the time of the newest finished snapshot, before PBS 4.0.17 perhaps of an unfinished one, and
    `files` are that snapshot's. `backup_count` counts all.
    """

    backup_type: str
    backup_id: str
    backup_count: int
    last_backup: int
    files: tuple[str, ...] | None = None
    owner: str | None = None
    comment: str | None = None


class Task(msgspec.Struct, frozen=True):
    """A row of `GET /nodes/localhost/tasks`. `endtime` and `status` are `None` while it runs."""

    upid: str
    worker_type: str
    starttime: int
    worker_id: str | None = None
    endtime: int | None = None
    status: str | None = None


class TapeDrive(Answer, frozen=True):
    """A row of `GET /tape/drive`. `state` says which task holds it; without a device there is no `vendor`."""

    name: str
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    state: str | None = None


class TapeMedium(Answer, frozen=True):
    """A row of `GET /tape/media/list`. An unassigned one has no `pool`, an unwritten one no `bytes_used`."""

    pool: str | None = None
    status: str | None = None
    location: str | None = None
    expired: bool | None = None
    bytes_used: int | None = None


class Job(Answer, frozen=True):
    """A row of the lists of sync, verify, prune and tape backup jobs.

    While a job runs there is `last_run_upid` alone. `remote` and what follows it are sync jobs' own.
    """

    id: str
    store: str
    ns: str | None = None
    schedule: str | None = None
    disable: bool | None = None
    next_run: int | None = None
    last_run_upid: str | None = None
    last_run_state: str | None = None
    last_run_endtime: int | None = None
    remote: str | None = None
    remote_store: str | None = None
    sync_direction: str | None = None


class Point(Answer, frozen=True):
    """A row of `GET /status/metrics`: of `host`, `datastore/{store}` and others the newest value of a metric."""

    id: str
    metric: str
    value: float | None = None


_UPID_START = re.compile(r"UPID:[^:]*:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8,16}:([0-9A-Fa-f]{8}):")


def upid_start(upid: str | None) -> int | None:
    """Read a task's start (Unix seconds) from its UPID."""
    match = _UPID_START.match(upid or "")
    return int(match[1], 16) if match else None
