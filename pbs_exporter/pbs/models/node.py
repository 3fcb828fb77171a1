"""The server itself: version, load, disks, services, updates, subscription, users and their API tokens."""

import msgspec

from pbs_exporter.pbs.models.base import ApiObject


class Version(ApiObject, frozen=True):
    """`GET /version`. The full version is `version`, a dot and `release`."""

    version: str | None = None
    release: str | None = None
    repoid: str | None = None


class DatedVersion(Version, frozen=True):
    """The version, and PBS's clock when it answered (Unix seconds; `None` where the answer had no `Date`)."""

    host_time: float | None = None


class CpuInfo(ApiObject, frozen=True):
    """The processors of the host."""

    cpus: int | None = None
    model: str | None = None


class Kernel(ApiObject, frozen=True):
    """The running kernel."""

    release: str | None = None


class BootInfo(ApiObject, frozen=True):
    """How the host was started."""

    mode: str | None = None
    secureboot: bool | None = None


class Memory(ApiObject, frozen=True):
    """Memory or swap."""

    total: int | None = None
    used: int | None = None
    free: int | None = None


class FileSystem(ApiObject, frozen=True):
    """A file system as reported by `statfs`; `avail` excludes reserved blocks."""

    total: int | None = None
    used: int | None = None
    avail: int | None = None


class NodeStatus(ApiObject, frozen=True):
    """`GET /nodes/localhost/status`. `cpu` and `wait` are between 0 and 1."""

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


class Point(ApiObject, frozen=True):
    """A row of `GET /status/metrics`: the newest value of a metric. `id` is `host`, `datastore/{store}` or another."""

    id: str
    metric: str
    value: float | None = None


class Subscription(ApiObject, frozen=True):
    """`GET /nodes/localhost/subscription`. `nextduedate` is `YYYY-MM-DD`, or `0000-00-00` for none."""

    status: str | None = None
    nextduedate: str | None = None


class Update(msgspec.Struct, frozen=True, rename="pascal"):
    """A row of `GET /nodes/localhost/apt/update`: a package with an upgrade."""

    package: str


class Service(ApiObject, frozen=True):
    """A row of `GET /nodes/localhost/services`. The states are those of systemd."""

    service: str
    state: str | None = None
    unit_state: str | None = None


class Disk(ApiObject, frozen=True):
    """A row of `GET /nodes/localhost/disks/list`. `wearout` is its remaining life in percent."""

    name: str
    model: str | None = None
    serial: str | None = None
    status: str | None = None
    size: int | None = None
    wearout: float | None = None


class Pool(ApiObject, frozen=True):
    """A row of `GET /nodes/localhost/disks/zfs`. `frag` is in percent."""

    name: str
    health: str | None = None
    size: int | None = None
    alloc: int | None = None
    free: int | None = None
    frag: float | None = None


class Token(ApiObject, frozen=True):
    """An API token. `expire` (Unix seconds) is 0 or absent if it never expires."""

    tokenid: str
    expire: int | None = None


class User(ApiObject, frozen=True):
    """A row of `GET /access/users?include_tokens=1`. `expire` is as in `Token`."""

    userid: str
    expire: int | None = None
    tokens: list[Token] | None = None
