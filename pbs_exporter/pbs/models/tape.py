"""Tape drives and media."""

from pbs_exporter.pbs.models.base import ApiObject


class TapeDrive(ApiObject, frozen=True):
    """A row of `GET /tape/drive`. `state` is the task that uses it; `vendor` is absent without a device."""

    name: str
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    state: str | None = None


class TapeMedium(ApiObject, frozen=True):
    """A row of `GET /tape/media/list`. Without `pool` it is unassigned, without `bytes_used` unwritten."""

    pool: str | None = None
    status: str | None = None
    location: str | None = None
    expired: bool | None = None
    bytes_used: int | None = None
