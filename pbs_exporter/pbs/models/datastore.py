"""Datastores: state, usage, garbage collection and namespaces."""

import re

from pbs_exporter.pbs.models.base import ApiObject
from pbs_exporter.pbs.models.node import FileSystem

_PROPERTY = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_READABLE = (None, "read-only")


class S3Statistics(ApiObject, frozen=True):
    """Requests to the S3 bucket, and bytes transferred, since the datastore was created or the counters were reset."""

    get: int | None = None
    put: int | None = None
    post: int | None = None
    head: int | None = None
    delete: int | None = None
    uploaded: int | None = None
    downloaded: int | None = None


class DatastoreStatus(FileSystem, frozen=True):
    """`GET /admin/datastore/{store}/status`. All sizes are 0 if a privilege is missing."""

    s3_statistics: S3Statistics | None = None


class Datastore(ApiObject, frozen=True):
    """A row of `GET /admin/datastore`. `maintenance` is a property string; see `mode`."""

    store: str
    comment: str | None = None
    maintenance: str | None = None
    mount_status: str | None = None
    backend_type: str | None = None

    @property
    def mode(self) -> str | None:
        """The maintenance mode: the first property that is named `type` or has no name."""
        for match in _PROPERTY.finditer(self.maintenance or ""):
            name, equals, value = match[0].strip().partition("=")
            if not equals or name == "type":
                return (value or name).strip('"')
        return None

    @property
    def available(self) -> bool:
        """Whether PBS can read it: it is mounted, and in no maintenance mode except read-only."""
        return self.mode in _READABLE and self.mount_status != "notmounted"


class GcStatus(ApiObject, frozen=True):
    """Counters of the last successful garbage collection. `upid` is `None` if there was none."""

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
    """A row of `GET /admin/gc`. `last_run_*` are about the last run, successful or not."""

    store: str
    duration: int | None = None
    last_run_endtime: int | None = None
    last_run_state: str | None = None
    next_run: int | None = None


class Usage(FileSystem, frozen=True, kw_only=True):
    """A row of `GET /status/datastore-usage`. Sizes are those of the whole file system."""

    store: str
    mount_status: str | None = None
    error: str | None = None
    estimated_full_date: int | None = None
    gc_status: GcStatus | None = None


class Namespace(ApiObject, frozen=True):
    """A row of `GET /admin/datastore/{store}/namespace`. The root is `""`."""

    ns: str
