"""Backup snapshots and groups."""

from operator import attrgetter

from pbs_exporter.pbs.models.base import ApiObject

ENCRYPTED = "encrypt"
"""The `crypt_mode` of an encrypted file. A signed file isn't."""

_crypt_mode = attrgetter("crypt_mode")


class File(ApiObject, frozen=True, gc=False):
    """A file of a snapshot."""

    filename: str
    crypt_mode: str | None = None


class Verification(ApiObject, frozen=True, gc=False):
    """The result of a snapshot's last verification."""

    state: str | None = None
    upid: str | None = None


class Snapshot(ApiObject, frozen=True, gc=False):
    """A row of `GET /admin/datastore/{store}/snapshots`. `size` is logical, and absent without a manifest."""

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
        """Whether any file is encrypted."""
        return ENCRYPTED in map(_crypt_mode, self.files or ())

    @property
    def has_manifest(self) -> bool:
        """Whether the snapshot has a manifest, readable or not."""
        return any(file.filename == "index.json.blob" for file in self.files or ())


class GroupRow(ApiObject, frozen=True):
    """A row of `GET /admin/datastore/{store}/groups`.

    `last_backup` is the time of the newest finished snapshot (before PBS 4.0.17 it may be an unfinished one), and
    `files` are its files. `backup_count` includes unfinished snapshots.
    """

    backup_type: str
    backup_id: str
    backup_count: int
    last_backup: int
    files: tuple[str, ...] | None = None
    owner: str | None = None
    comment: str | None = None
