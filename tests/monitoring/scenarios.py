"""What goes wrong, and which alerts say so: the table of the end-to-end test.

All scenarios of a stage are played at once, so what one inhibits of another would show. Of each alert the labels that
matter are given; it has more.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tests.monitoring import faults
from tests.monitoring.faults import Make, answers, both, group, row, says
from tests.monitoring.history import DAY
from tests.monitoring.stack import Labels
from tests.monitoring.worlds import SNAPSHOTS, TASKS, job, tape, task

HOUR = 3600


class Expected(NamedTuple):
    """An alert: its name, and labels that it has among others."""

    name: str
    labels: Labels

    def __str__(self) -> str:
        return f"{self.name}{{{', '.join(f'{key}={value!r}' for key, value in self.labels.items())}}}"


def alert(name: str, severity: str, /, **labels: str) -> Expected:
    return Expected(name, {"severity": severity, **labels})


class Scenario(NamedTuple):
    """A fault on a stage. `active` are the alerts of which somebody is told, `inhibited` those of which nobody is."""

    name: str
    stage: str
    fault: Make
    active: tuple[Expected, ...]
    inhibited: tuple[Expected, ...] = ()


_FORBIDDEN = "permission check failed"
_NODE = "/nodes/{node}/status"
_ZFS = "/nodes/{node}/disks/zfs"
_DISKS = "/nodes/{node}/disks/list"
_USAGE = "/status/datastore-usage"
_SYNC, _PRUNE, _VERIFY, _GC = "/admin/sync", "/admin/prune", "/admin/verify", "/admin/gc"
_EOF = "connection error: unexpected end of file"
_BAD = "verification failed - please check the log for details"
_MARK = "marking used chunks failed: can't open index: index too small (7)"
_OPEN = "unable to open chunk store 'main' at \"/mnt/main/.chunks\" - No such file or directory (os error 2)"
_SYNC_FAILED = "sync failed with some errors."
_NO_TAPE = "alloc writable media in pool 'weekly' failed: no usable media found"
_NO_RUN = {"last_run_endtime": None, "last_run_state": None, "last_run_upid": None}

HOST = (
    Scenario(
        "root file system full",
        "host",
        says(_NODE, lambda node, _: node | {"root": node["root"] | {"avail": node["root"]["total"] // 20}}),
        (alert("PbsHostRootFull", "warning"),),
    ),
    Scenario(
        "memory full and swap growing", "host", says(_NODE, faults.swap_grows), (alert("PbsHostMemory", "warning"),)
    ),
    Scenario("CPU busy", "host", says(_NODE, lambda node, _: node | {"cpu": 0.97}), (alert("PbsHostCpuBusy", "info"),)),
    Scenario(
        "disks busy", "host", says(_NODE, lambda node, _: node | {"wait": 0.5}), (alert("PbsHostIoWait", "info"),)
    ),
    Scenario(
        "service down",
        "host",
        says("/nodes/{node}/services", row("service", "chrony", state="dead")),
        (alert("PbsServiceDown", "warning", service="chrony"),),
    ),
    Scenario(
        "updates not installed",
        "host",
        says("/nodes/{node}/apt/update", lambda rows, _: [*rows, {"Package": "libssl3t64", "Version": "1.0-2"}]),
        (alert("PbsUpdatesPending", "info"),),
    ),
    Scenario(
        "subscription expired",
        "host",
        says("/nodes/{node}/subscription", lambda answer, _: answer | {"status": "expired"}),
        (alert("PbsSubscription", "warning", status="expired"),),
    ),
    Scenario(
        "root file system quite full",
        "disks",
        says(_NODE, lambda node, _: node | {"root": node["root"] | {"avail": node["root"]["total"] // 50}}),
        (alert("PbsHostRootFull", "critical"),),
        (alert("PbsHostRootFull", "warning"),),
    ),
    Scenario(
        "disk fails",
        "disks",
        says(_DISKS, row("name", "sda", status="failed")),
        (alert("PbsDiskFailed", "critical", disk="sda"),),
    ),
    Scenario(
        "SSD worn out",
        "disks",
        says(_DISKS, row("name", "sdb", wearout=5.0)),
        (alert("PbsDiskWearout", "warning", disk="sdb"),),
    ),
    Scenario(
        "ZFS pool degraded",
        "disks",
        says(_ZFS, row("name", "tank", health="DEGRADED")),
        (alert("PbsZfsPoolUnhealthy", "critical", pool="tank", status="degraded"),),
    ),
    Scenario(
        "ZFS pool failed",
        "disks",
        says(_ZFS, lambda rows, _: [row for row in rows if row["name"] != "backup"]),
        (alert("PbsZfsPoolMissing", "critical", pool="backup"),),
    ),
    Scenario(
        "ZFS pool fragmented",
        "disks",
        says(_ZFS, row("name", "tank", frag=80)),
        (alert("PbsZfsPoolFragmented", "info", pool="tank"),),
    ),
    Scenario(
        "ZFS pool full",
        "disks",
        says(_ZFS, row("name", "scratch", alloc=95 * (5 << 40) // 100)),
        (alert("PbsZfsPoolFull", "warning", pool="scratch"),),
    ),
)

ACCESS = (
    Scenario(
        "certificate ends in five days",
        "access",
        faults.certificate_ends(5),
        (alert("PbsCertificateExpiring", "critical"),),
        (alert("PbsCertificateExpiring", "warning"),),
    ),
    Scenario(
        "token ends in ten days",
        "access",
        says("/access/users", faults.tokens_end(10)),
        (alert("PbsTokenExpiring", "warning"),),
    ),
    Scenario(
        "token ends in two days",
        "collectors",
        says("/access/users", faults.tokens_end(2)),
        (alert("PbsTokenExpiring", "critical"),),
        (alert("PbsTokenExpiring", "warning"),),
    ),
    Scenario(
        "certificate ends in two weeks",
        "old",
        faults.certificate_ends(14),
        (alert("PbsCertificateExpiring", "warning"),),
    ),
    Scenario(
        "right taken away without which nothing is seen",
        "blind",
        both(
            faults.right_lost("Datastore.Audit"),
            *(says(path, lambda _rows, _: []) for path in ("/admin/datastore", _USAGE, _GC, _VERIFY)),
        ),
        tuple(
            alert("PbsRightMissing", "warning", collector=collector, privilege="Datastore.Audit")
            for collector in ("datastores", "gc", "io", "jobs", "s3", "snapshots")
        ),
        (alert("PbsDatastoreVanished", "warning", datastore="main"),),
    ),
    Scenario(
        "right taken away",
        "rights",
        both(
            faults.right_lost("Sys.Audit"),
            says(TASKS, lambda _rows, _: []),
            *(answers(path, 403, _FORBIDDEN) for path in (_NODE, "/nodes/{node}/services", "/nodes/{node}/apt/update")),
        ),
        tuple(
            alert("PbsRightMissing", "warning", collector=collector, privilege="Sys.Audit")
            for collector in ("host", "io", "services", "subscription", "tasks", "updates")
        ),
        tuple(alert("PbsCollectorFailing", "warning", collector=name) for name in ("host", "services", "updates")),
    ),
    Scenario("token revoked", "login", faults.token_revoked, (alert("PbsLoginRefused", "critical"),)),
    Scenario("PBS stopped", "down", faults.pbs_stopped, (alert("PbsDown", "critical"),)),
    Scenario("exporter stopped", "exporter", faults.exporter_stopped, (alert("PbsExporterDown", "critical"),)),
    Scenario(
        "collector fails",
        "collectors",
        answers("/tape/drive", 400, "client error (Connect)"),
        (alert("PbsCollectorFailing", "warning", collector="tape"),),
    ),
    Scenario(
        "datastores not listed",
        "unlisted",
        answers("/admin/datastore", 400, "client error (Connect)"),
        tuple(alert("PbsCollectorFailing", "warning", collector=name) for name in ("datastores", "s3", "snapshots")),
    ),
    Scenario(
        "slow collector fails",
        "collectors",
        answers("/nodes/{node}/apt/update", 400, "unable to open file '/var/lib/proxmox-backup/pkg-state.json'"),
        (alert("PbsCollectorFailing", "warning", collector="updates"),),
    ),
    Scenario(
        "collector fails for one datastore",
        "collectors",
        answers("/admin/datastore/cloud/status", 400, "client error (Connect)"),
        (alert("PbsCollectorFailing", "warning", collector="s3", datastore="cloud"),),
    ),
    Scenario(
        "listing fails",
        "listing",
        answers("/admin/datastore/main/snapshots", 400, "ENOENT: No such file or directory"),
        (alert("PbsListingFailing", "warning", datastore="main"),),
        (alert("PbsListingOld", "warning", datastore="main"),),
    ),
    Scenario(
        "full listing waits", "old", faults.full_listings_wait, (alert("PbsListingOld", "warning", datastore="main"),)
    ),
)

BACKUPS = (
    Scenario(
        "backup missed",
        "backups",
        says(SNAPSHOTS, group("100", faults.not_since(2 * DAY))),
        (alert("PbsBackupTooOld", "warning", datastore="main", backup_type="vm", backup_id="100"),),
    ),
    Scenario(
        "backups fail for days",
        "backups",
        both(
            says(SNAPSHOTS, group("101", faults.not_since(4 * DAY))),
            faults.failed_task("backup", "main:vm/101", "backup ended: " + _EOF),
        ),
        (alert("PbsBackupTooOld", "critical", backup_id="101"),),
        (
            alert("PbsBackupTooOld", "warning", backup_id="101"),
            alert("PbsTaskFailed", "warning", worker_type="backup", worker_id="main:vm/101", backup_id="101"),
        ),
    ),
    Scenario(
        "backup aborted",
        "backups",
        says(SNAPSHOTS, group("102", faults.unfinished)),
        (alert("PbsSnapshotUnfinished", "warning", backup_id="102"),),
    ),
    Scenario(
        "manifest unreadable",
        "backups",
        says(SNAPSHOTS, group("103", faults.damaged)),
        (alert("PbsSnapshotDamaged", "critical", backup_id="103"),),
    ),
    Scenario(
        "snapshots removed",
        "backups",
        says(SNAPSHOTS, group("104", lambda rows, _: rows[:2])),
        (alert("PbsSnapshotCountDropped", "warning", backup_id="104"),),
    ),
    Scenario(
        "disk taken out of the backup",
        "backups",
        says(SNAPSHOTS, group("105", faults.smaller)),
        (alert("PbsBackupSizeDropped", "info", backup_id="105"),),
    ),
    Scenario(
        "encryption lost",
        "backups",
        says(SNAPSHOTS, group("106", faults.plain)),
        (alert("PbsBackupNotEncrypted", "warning", namespace="prod", backup_id="106"),),
    ),
    Scenario(
        "newest snapshot fails verification, and so does the job",
        "verification",
        both(
            says("/admin/datastore/main/snapshots", group("100", faults.verified(0, "failed"))),
            says(_VERIFY, row("store", "main", last_run_state=_BAD)),
            faults.failed_task("verify_snapshot", "main:vm/100/68899000", _BAD),
        ),
        (alert("PbsVerificationFailed", "critical", datastore="main", backup_id="100"),),
        (
            alert("PbsVerificationFailed", "warning", datastore="main", backup_id="100"),
            alert("PbsJobFailed", "warning", job_type="verify", job_id="verify-main"),
            alert("PbsTaskFailed", "warning", worker_type="verify_snapshot", worker_id="main:vm/100"),
        ),
    ),
    Scenario(
        "old snapshot fails verification",
        "verification",
        says("/admin/datastore/main/snapshots", group("101", faults.verified(-1, "failed"))),
        (alert("PbsVerificationFailed", "warning", namespace="prod", backup_id="101"),),
    ),
    Scenario(
        "not verified for long",
        "verification",
        says("/admin/datastore/second/snapshots", group("100", faults.verified_before(50))),
        (alert("PbsVerificationTooOld", "warning", datastore="second", backup_id="100"),),
    ),
    Scenario(
        "never verified",
        "verification",
        says("/admin/datastore/second/snapshots", group("101", faults.never_verified(20))),
        (alert("PbsVerificationTooOld", "warning", datastore="second", backup_id="101"),),
    ),
    Scenario(
        "verify job removed",
        "verification",
        says(_VERIFY, lambda rows, _: [row for row in rows if row["store"] != "third"]),
        (alert("PbsNoVerifyJob", "info", datastore="third"),),
    ),
)

TASKS_AND_JOBS = (
    Scenario(
        "task fails",
        "tasks",
        faults.failed_task("prune", "main:vm/100", "ENOENT: No such file or directory"),
        (alert("PbsTaskFailed", "warning", worker_type="prune", datastore="main", backup_id="100"),),
    ),
    Scenario(
        "task fails that matters little",
        "tasks",
        faults.failed_task("aptupdate", "", "apt-get update failed"),
        (alert("PbsTaskFailed", "info", worker_type="aptupdate"),),
    ),
    Scenario(
        "first garbage collection fails",
        "tasks",
        both(faults.new("young", {}), faults.first_gc_failed("young")),
        (alert("PbsTaskFailed", "warning", worker_type="garbage_collection", datastore="young"),),
    ),
    Scenario(
        "task hangs",
        "tasks",
        says(TASKS, faults.more(lambda now: task("backup", "main:vm/101", now - 7 * HOUR, None))),
        (alert("PbsTaskRunningLong", "warning", worker_type="backup"),),
    ),
    Scenario(
        "job fails",
        "jobs",
        both(
            says(_SYNC, row("id", "s-failing", last_run_state=_SYNC_FAILED)),
            faults.failed_task("syncjob", "pbs2:offsite:main::s-failing", _SYNC_FAILED),
        ),
        (alert("PbsJobFailed", "warning", job_type="sync", job_id="s-failing", datastore="main"),),
    ),
    Scenario(
        "job fails and runs again",
        "jobs",
        says(_SYNC, faults.failed_then_running("s-again")),
        (alert("PbsJobFailed", "warning", job_type="sync", job_id="s-again"),),
    ),
    Scenario(
        "job warns",
        "jobs",
        says(_SYNC, row("id", "s-warning", last_run_state="WARNINGS: 2")),
        (alert("PbsJobWarning", "info", job_type="sync", job_id="s-warning"),),
    ),
    Scenario(
        "tape backup fails",
        "jobs",
        both(
            says("/tape/backup", row("id", "t-weekly", last_run_state=_NO_TAPE)),
            faults.failed_task("tape-backup-job", "main:weekly:drive0:t-weekly", _NO_TAPE),
        ),
        (alert("PbsJobFailed", "warning", job_type="tape_backup", job_id="t-weekly"),),
    ),
    Scenario(
        "job overdue",
        "jobs",
        says(_PRUNE, lambda rows, now: row("id", "p-late", next_run=now - 2 * HOUR)(rows, now)),
        (alert("PbsJobOverdue", "warning", job_type="prune", job_id="p-late"),),
    ),
    Scenario(
        "job never runs",
        "jobs",
        says(
            _PRUNE,
            faults.more(lambda _: job("p-never", "main", **_NO_RUN)),
            after=faults.more(lambda _: job("p-never", "main")),
        ),
        (alert("PbsJobNeverRun", "warning", job_type="prune", job_id="p-never"),),
    ),
)

DATASTORES = (
    Scenario(
        "garbage collection fails",
        "gc",
        both(
            says(_GC, row("store", "failing", last_run_state=_MARK)),
            faults.failed_task("garbage_collection", "failing", _MARK),
        ),
        (alert("PbsGcFailed", "warning", datastore="failing"),),
    ),
    Scenario(
        "garbage collection long ago",
        "gc",
        says(_GC, lambda rows, now: row("store", "late", last_run_endtime=now - 9 * DAY)(rows, now)),
        (alert("PbsGcNotRun", "warning", datastore="late"),),
    ),
    Scenario(
        "garbage collection never runs",
        "gc",
        both(faults.new("young", {}), faults.gc_never_ran("young")),
        (alert("PbsGcNeverRun", "warning", datastore="young"),),
    ),
    Scenario(
        "chunks bad",
        "gc",
        says(_GC, row("store", "broken", still_bad=3)),
        (alert("PbsChunksBad", "critical", datastore="broken"),),
    ),
    Scenario(
        "deduplication drops",
        "gc",
        says(_USAGE, faults.at("thin", faults.deduplicated(0.5))),
        (alert("PbsDeduplicationDropped", "info", datastore="thin"),),
    ),
    Scenario(
        "full soon, PBS estimates",
        "space",
        says(_USAGE, faults.at("estimate", lambda usage, now: usage | {"estimated-full-date": now + 10 * DAY})),
        (alert("PbsDatastoreFilling", "warning", datastore="estimate"),),
    ),
    Scenario(
        "full very soon",
        "gc",
        says(_USAGE, faults.at("late", lambda usage, now: usage | {"estimated-full-date": now + 2 * DAY})),
        (alert("PbsDatastoreFilling", "critical", datastore="late"),),
        (alert("PbsDatastoreFilling", "warning", datastore="late"),),
    ),
    Scenario(
        "full soon by its trend",
        "space",
        says(_USAGE, faults.at("trend", faults.shrinking)),
        (alert("PbsDatastoreFilling", "warning", datastore="trend"),),
    ),
    Scenario(
        "almost full",
        "space",
        says(_USAGE, faults.at("full", faults.full(0.95, days=1))),
        (
            alert("PbsDatastoreAlmostFull", "warning", datastore="full"),
            alert("PbsDatastoreFilling", "critical", datastore="full"),
        ),
        (alert("PbsDatastoreFilling", "warning", datastore="full"),),
    ),
    Scenario(
        "full",
        "space",
        says(_USAGE, faults.at("fuller", faults.full(0.98, days=1))),
        (alert("PbsDatastoreAlmostFull", "critical", datastore="fuller"),),
        (
            alert("PbsDatastoreAlmostFull", "warning", datastore="fuller"),
            alert("PbsDatastoreFilling", "critical", datastore="fuller"),
            alert("PbsDatastoreFilling", "warning", datastore="fuller"),
        ),
    ),
    Scenario(
        "unreadable",
        "datastores",
        both(
            says(
                _USAGE,
                faults.at(
                    "main", lambda usage, _: {key: usage[key] for key in ("mount-status", "store")} | {"error": _OPEN}
                ),
            ),
            answers("/admin/datastore/main/*", 400, _OPEN),
            says(_GC, lambda rows, _: [row for row in rows if row["store"] != "main"]),
            says(_VERIFY, row("store", "main", last_run_state=_OPEN)),
            faults.failed_task("prune", "main:vm/100", _OPEN),
        ),
        (alert("PbsDatastoreUnreadable", "critical", datastore="main"),),
        (
            alert("PbsJobFailed", "warning", job_type="verify", datastore="main"),
            alert("PbsTaskFailed", "warning", worker_type="prune", datastore="main"),
            alert("PbsListingFailing", "warning", datastore="main"),
            alert("PbsListingOld", "warning", datastore="main"),
        ),
    ),
    Scenario(
        "offline",
        "datastores",
        both(
            faults.on("off", maintenance="offline,message=disk swap"),
            says(
                _VERIFY, lambda rows, now: row("store", "off", last_run_state=_BAD, next_run=now - 2 * HOUR)(rows, now)
            ),
        ),
        (alert("PbsDatastoreMaintenance", "warning", datastore="off", mode="offline"),),
    ),
    Scenario(
        "not mounted for long",
        "datastores",
        faults.new("usb", {"mounted": True}, removable=True, mounted=False),
        (alert("PbsDatastoreNotMounted", "warning", datastore="usb"),),
    ),
    Scenario("vanished", "datastores", faults.removed, (alert("PbsDatastoreVanished", "warning", datastore="gone"),)),
    Scenario(
        "bucket out of reach",
        "s3",
        both(
            says("/admin/datastore/cloud/snapshots", group("100", faults.not_since(2 * DAY))),
            says(_GC, row("store", "cloud", last_run_state="client error (Connect)")),
            faults.failed_task("garbage_collection", "cloud", "client error (Connect)"),
            *(faults.failed_task("backup", f"cloud:vm/{name}", "client error (Connect)") for name in (100, 101)),
        ),
        (alert("PbsS3DatastoreFailing", "critical", datastore="cloud"),),
        (
            alert("PbsBackupTooOld", "warning", datastore="cloud", backup_id="100"),
            alert("PbsGcFailed", "warning", datastore="cloud"),
            alert("PbsTaskFailed", "warning", datastore="cloud", worker_type="backup", backup_id="100"),
            alert("PbsTaskFailed", "warning", datastore="cloud", worker_type="backup", backup_id="101"),
        ),
    ),
    Scenario(
        "bucket out of reach for days",
        "s3",
        says(_GC, lambda rows, now: row("store", "deep", last_run_endtime=now - 9 * DAY)(rows, now)),
        (alert("PbsS3DatastoreFailing", "warning", datastore="deep"),),
        (alert("PbsGcNotRun", "warning", datastore="deep"),),
    ),
    Scenario(
        "no tape to write to",
        "tape",
        says(
            "/tape/media/list",
            lambda rows, _: [tape("WEEK01L8", "weekly", "full", "online-sl3"), *rows[1:]],
        ),
        (alert("PbsTapeNoMedia", "warning", pool="weekly"),),
    ),
    Scenario(
        "tape drive off",
        "tape",
        says("/tape/drive", row("name", "drive0", vendor=None, model=None, serial=None)),
        (alert("PbsTapeDriveMissing", "warning", name="drive0"),),
    ),
)

SCENARIOS = (*HOST, *ACCESS, *BACKUPS, *TASKS_AND_JOBS, *DATASTORES)

NOT_PLAYED: Mapping[tuple[str, str], str] = {}
"""Alerts, with their severity, that no fault of a simulated PBS can cause, each with the reason."""
