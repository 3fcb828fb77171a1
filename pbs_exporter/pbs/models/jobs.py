"""Sync, verify, prune and tape backup jobs."""

from pbs_exporter.pbs.models.base import ApiObject


class Job(ApiObject, frozen=True):
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
