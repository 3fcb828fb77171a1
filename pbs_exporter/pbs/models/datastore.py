"""Datastores: state, usage, garbage collection and namespaces."""

from functools import lru_cache

from pbs_exporter.pbs.models.base import ApiObject
from pbs_exporter.pbs.models.node import FileSystem

_PROPERTY_STRING_LIMIT = 512
"""How much of a property string is read, in code points. PBS allows 64 for the message."""

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
        return _mode(self.maintenance[:_PROPERTY_STRING_LIMIT]) if self.maintenance else None

    @property
    def available(self) -> bool:
        """Whether PBS can read it: it is mounted, and in no maintenance mode except read-only."""
        return self.mode in _READABLE and self.mount_status != "notmounted"


@lru_cache(maxsize=1024)
def _mode(text: str) -> str | None:
    for part in _properties(text):
        name, equals, value = part.strip().partition("=")
        if part and (not equals or name == "type"):
            return (value or name).strip('"')
    return None


def _properties(text: str) -> list[str]:
    """Split a property string at the commas outside of quotes."""
    parts, begin, quoted, escaped = [], 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(text[begin:position])
            begin = position + 1
    return [*parts, text[begin:]]


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
