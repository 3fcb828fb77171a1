"""Sync, verify, prune and tape backup jobs."""

from pbs_exporter.pbs.models.base import ApiObject


class Job(ApiObject, frozen=True):
    """A row of `GET /admin/sync`, `/admin/verify`, `/admin/prune` or `/tape/backup`.

    While the job runs, `last_run_upid` is the only one of the `last_run_*` fields. Only sync jobs have `remote`,
    `remote_store` and `sync_direction`.
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
