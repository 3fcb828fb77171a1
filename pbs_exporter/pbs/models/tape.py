"""Tape drives and media."""

from pbs_exporter.pbs.models.base import ApiObject


class TapeDrive(ApiObject, frozen=True):
    """A row of `GET /tape/drive`. `state` says which task holds it; without a device there is no `vendor`."""

    name: str
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    state: str | None = None


class TapeMedium(ApiObject, frozen=True):
    """A row of `GET /tape/media/list`. An unassigned one has no `pool`, an unwritten one no `bytes_used`."""

    pool: str | None = None
    status: str | None = None
    location: str | None = None
    expired: bool | None = None
    bytes_used: int | None = None
