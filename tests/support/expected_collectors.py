"""The expected series of a recording about jobs, I/O, S3, tapes and the host's upkeep: see `expected_page.py`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.expected_page import Recording, Row

Json = Any

SYNC = ("/admin/sync", "sync-direction=all")
JOB_PATHS = (SYNC, ("/admin/verify", ""), ("/admin/prune", ""), ("/tape/backup", ""))
MEDIA = ("/tape/media/list", "update-status=0")
METRICS = ("/status/metrics", "")
ONCE = (
    *JOB_PATHS,
    MEDIA,
    METRICS,
    ("/nodes/localhost/subscription", ""),
    ("/nodes/localhost/apt/update", ""),
    ("/nodes/localhost/services", ""),
    ("/access/permissions", ""),
    ("/access/users", "include_tokens=1"),
)
DISKS = (("/nodes/localhost/disks/list", "skipsmart=1"), ("/nodes/localhost/disks/zfs", ""))
SLOW = ("subscription", "updates", "services", "access", "groups")

NEEDS = {
    "host": ["Sys.Audit /system/status"],
    "datastores": ["Datastore.Audit /datastore"],
    "snapshots": ["Datastore.Audit /datastore"],
    "tasks": ["Sys.Audit /system/tasks"],
    "gc": ["Datastore.Audit /datastore"],
    "tape": ["Tape.Audit /tape"],
    "jobs": ["Datastore.Audit /datastore", "Remote.Audit /remote", "Tape.Audit /tape"],
    "io": ["Sys.Audit /system/status", "Datastore.Audit /datastore"],
    "s3": ["Datastore.Audit /datastore"],
    "tape_media": ["Tape.Audit /tape"],
    "subscription": ["Sys.Audit /"],
    "updates": ["Sys.Audit /"],
    "services": ["Sys.Audit /system/services"],
    "groups": ["Datastore.Audit /datastore"],
    "disks": ["Sys.Audit /system/disks"],
}

VALID_FROM = 1_760_000_000
VALID_UNTIL = 1_830_000_000
"""The expiry of the certificate in a replay (Unix time)."""


def others(recording: Recording) -> Iterator[Row]:
    """Yield all series of these collectors."""
    yield from _jobs(recording)
    yield from _io(recording)
    yield from _s3(recording)
    yield from _media(recording)
    yield from _host(recording)
    yield from _access(recording)
    if with_disks(recording):
        yield from _disks(recording)
    yield "pbs_certificate_not_before_timestamp_seconds", {}, VALID_FROM
    yield "pbs_certificate_not_after_timestamp_seconds", {}, VALID_UNTIL
    for collector in SLOW:
        # A refused request has no samples.
        if slow_state(recording, collector) == "good":
            yield "pbs_collector_data_timestamp_seconds", {"collector": collector}, recording.time
    if with_disks(recording):
        yield "pbs_collector_data_timestamp_seconds", {"collector": "disks"}, recording.time


def with_disks(recording: Recording) -> bool:
    """Whether the collector `disks` is on for the page: one server had a list of disks."""
    return recording.name == "pbs-4.2.3-more"


def slow_state(recording: Recording, collector: str) -> str:
    """Return the state of a slow collector of one endpoint."""
    if collector == "groups":
        return "failed" if recording.name == "pbs-4.2.3-vanished" else "good"
    path = {"services": "/nodes/localhost/services", "updates": "/nodes/localhost/apt/update"}.get(collector)
    return "good" if path is None or recording.status(path) == 200 else "failed"


def _host(recording: Recording) -> Iterator[Row]:
    subscription = recording.data("/nodes/localhost/subscription")
    for name in ("new", "notfound", "active", "invalid", "expired", "suspended", "unknown"):
        yield "pbs_subscription_status", {"status": name}, int(name == subscription["status"])
    assert "nextduedate" not in subscription
    packages = recording.data("/nodes/localhost/apt/update")
    yield "pbs_updates_pending", {}, None if packages is None else len(packages)
    # There was no systemd.
    assert not recording.data("/nodes/localhost/services")


def _access(recording: Recording) -> Iterator[Row]:
    granted = recording.data("/access/permissions")
    for collector, needs in NEEDS.items():
        for need in needs if collector != "disks" or with_disks(recording) else ():
            privilege, path = need.split(" ")
            above = [path[:end] or "/" for end in range(len(path), -1, -1) if path[end : end + 1] in ("/", "")]
            nearest = next((one for one in above if one in granted), None)
            # In the recordings all entries propagate.
            held = nearest is not None and granted[nearest].get(privilege) is True
            labels = {"collector": collector, "privilege": privilege, "path": path}
            yield "pbs_token_privilege", labels, int(held)
    users = recording.data("/access/users", "include_tokens=1")
    assert not [user for user in users if user.get("expire")]


def _disks(recording: Recording) -> Iterator[Row]:
    for disk in recording.data("/nodes/localhost/disks/list", "skipsmart=1"):
        labels = {"disk": disk["name"], "model": disk["model"] or "", "serial": disk["serial"] or ""}
        for name in ("passed", "failed", "unknown"):
            yield "pbs_disk_health", labels | {"status": name}, int(name == disk["status"])
        yield "pbs_disk_size_bytes", {"disk": disk["name"]}, disk["size"]
    assert recording.status("/nodes/localhost/disks/zfs") == 400


def requests_of_others(recording: Recording) -> dict[tuple[str, str], int]:
    """Return the number of requests per scrape for these collectors, by path template and status."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for path, query in (*ONCE, *(DISKS if with_disks(recording) else ())):
        found[path, str(recording.status(path, query))] += 1
    if recording.status(*SYNC) != 200:
        found["/admin/sync", "200"] += 1
    for store in s3_stores(recording):
        status = recording.status(f"/admin/datastore/{store}/status")
        found["/admin/datastore/{store}/status", str(status)] += 1
    return dict(found)


def s3_stores(recording: Recording) -> list[str]:
    """Return the S3 datastores that a scrape queries."""
    rows = recording.data("/admin/datastore")
    return [row["store"] for row in rows if row.get("backend-type") == "s3" and "maintenance" not in row]


def ended_as(state: str) -> str:
    """Return the state of a finished run."""
    return "warning" if state.startswith("WARNINGS: ") else {"OK": "ok", "unknown": "unknown"}.get(state, "error")


def _jobs(recording: Recording) -> Iterator[Row]:
    for kind, (path, query) in zip(("sync", "verify", "prune", "tape_backup"), JOB_PATHS, strict=True):
        # PBS 3.2 has no push jobs, and so no direction.
        rows = recording.data(path, query if recording.status(path, query) == 200 else "")
        for row in rows:
            labels = {"job_type": kind, "job_id": row["id"], "datastore": row["store"]}
            of_sync = {
                "remote": row.get("remote", ""),
                "remote_datastore": row.get("remote-store", ""),
                "direction": row.get("sync-direction", "pull"),
            }
            about = of_sync if kind == "sync" else dict.fromkeys(of_sync, "")
            about |= {"namespace": row.get("ns", ""), "schedule": row.get("schedule", "")}
            yield "pbs_job_info", labels | about, 1
            yield "pbs_job_enabled", labels, 0 if row.get("disable") else 1
            status = "never" if "last-run-upid" not in row else "running"
            if "last-run-state" in row:
                status = ended_as(row["last-run-state"])
            for name in ("ok", "warning", "error", "unknown", "running", "never"):
                yield "pbs_job_status", labels | {"status": name}, int(name == status)
            yield "pbs_job_next_run_timestamp_seconds", labels, row.get("next-run")
            if "last-run-endtime" in row:
                end = row["last-run-endtime"]
                yield "pbs_job_last_run_timestamp_seconds", labels, end
                start = int(row["last-run-upid"].split(":")[5], 16)
                yield "pbs_job_last_run_duration_seconds", labels, end - start


def _io(recording: Recording) -> Iterator[Row]:
    host = {
        "net_in": "pbs_host_network_receive_bytes_total",
        "net_out": "pbs_host_network_transmit_bytes_total",
        "disk_read": "pbs_host_disk_read_bytes_total",
        "disk_write": "pbs_host_disk_written_bytes_total",
    }
    store = {"disk_read": "pbs_datastore_read_bytes_total", "disk_write": "pbs_datastore_written_bytes_total"}
    for point in (recording.data(*METRICS) or {"data": []})["data"]:
        parts = point["id"].split("/")
        if parts == ["host"] and point["metric"] in host:
            yield host[point["metric"]], {}, point["value"]
        if len(parts) == 2 and point["metric"] in store:
            yield store[point["metric"]], {"datastore": parts[1]}, point["value"]


def _s3(recording: Recording) -> Iterator[Row]:
    for store in s3_stores(recording):
        labels = {"datastore": store}
        yield "pbs_scrape_datastore_success", labels | {"collector": "s3"}, 1
        numbers = recording.data(f"/admin/datastore/{store}/status")["s3-statistics"]
        for method in ("get", "put", "post", "head", "delete"):
            yield "pbs_datastore_s3_requests_total", labels | {"method": method}, numbers[method]
        yield "pbs_datastore_s3_uploaded_bytes_total", labels, numbers["uploaded"]
        yield "pbs_datastore_s3_downloaded_bytes_total", labels, numbers["downloaded"]


def _media(recording: Recording) -> Iterator[Row]:
    tapes = recording.data(*MEDIA)
    kinds: dict[tuple[str, str, str], int] = defaultdict(int)
    for tape in tapes:
        kinds[tape.get("pool", ""), tape["status"], tape["location"].split("-")[0]] += 1
    for (pool, status, location), number in kinds.items():
        yield "pbs_tape_media", {"pool": pool, "status": status, "location": location}, number
    for pool in {tape.get("pool", "") for tape in tapes}:
        of_pool = [tape for tape in tapes if tape.get("pool", "") == pool]
        yield "pbs_tape_media_expired", {"pool": pool}, len([tape for tape in of_pool if tape["expired"]])
        written = [tape["bytes-used"] for tape in of_pool if "bytes-used" in tape]
        yield "pbs_tape_media_used_bytes", {"pool": pool}, sum(written) if written else None
