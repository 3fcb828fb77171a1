"""Faults of datastores, of S3 buckets and of tapes."""

from tests.monitoring import faults
from tests.monitoring.backfill import DAY
from tests.monitoring.calm_pbs import tape
from tests.monitoring.faults import both, changed_answer, failed_answer, group, row
from tests.monitoring.scenarios.scenario import GC, HOUR, PRUNE, USAGE, VERIFICATION_FAILED, VERIFY, Scenario, alert

_MARK = "marking used chunks failed: can't open index: index too small (7)"
_OPEN = "unable to open chunk store 'main' at \"/mnt/main/.chunks\" - No such file or directory (os error 2)"

DATASTORES = (
    Scenario(
        "garbage collection fails",
        "gc",
        both(
            changed_answer(GC, row("store", "failing", last_run_state=_MARK)),
            faults.failed_task("garbage_collection", "failing", _MARK),
        ),
        (alert("PbsGcFailed", "warning", datastore="failing"),),
    ),
    Scenario(
        "garbage collection long ago",
        "gc",
        changed_answer(GC, lambda rows, now: row("store", "late", last_run_endtime=now - 9 * DAY)(rows, now)),
        (alert("PbsGcNotRun", "warning", datastore="late"),),
    ),
    Scenario(
        "garbage collection never runs",
        "gc",
        both(faults.new_datastore("young", {}), faults.gc_never_ran("young")),
        (alert("PbsGcNeverRun", "warning", datastore="young"),),
    ),
    Scenario(
        "garbage collection cut off",
        "odd",
        changed_answer(GC, row("store", "cut", last_run_state="unknown")),
        (alert("PbsGcUnknown", "warning", datastore="cut"),),
    ),
    Scenario(
        "full in two months and not pruned",
        "odd",
        both(
            changed_answer(PRUNE, lambda rows, _: [row for row in rows if row["store"] != "filling"]),
            changed_answer(
                USAGE, faults.in_row("filling", lambda usage, now: usage | {"estimated-full-date": now + 60 * DAY})
            ),
        ),
        (alert("PbsNoPruneJob", "info", datastore="filling"),),
    ),
    Scenario(
        "chunks bad",
        "gc",
        changed_answer(GC, row("store", "broken", still_bad=3)),
        (alert("PbsChunksBad", "critical", datastore="broken"),),
    ),
    Scenario(
        "deduplication drops",
        "gc",
        changed_answer(USAGE, faults.in_row("thin", faults.deduplicated(0.5))),
        (alert("PbsDeduplicationDropped", "info", datastore="thin"),),
    ),
    Scenario(
        "full soon, PBS estimates",
        "space",
        changed_answer(
            USAGE, faults.in_row("estimate", lambda usage, now: usage | {"estimated-full-date": now + 10 * DAY})
        ),
        (alert("PbsDatastoreFilling", "warning", datastore="estimate"),),
    ),
    Scenario(
        "full very soon",
        "gc",
        changed_answer(USAGE, faults.in_row("late", lambda usage, now: usage | {"estimated-full-date": now + 2 * DAY})),
        (alert("PbsDatastoreFilling", "critical", datastore="late"),),
        (alert("PbsDatastoreFilling", "warning", datastore="late"),),
    ),
    Scenario(
        "full soon by its trend",
        "space",
        changed_answer(USAGE, faults.in_row("trend", faults.shrinking)),
        (alert("PbsDatastoreFilling", "warning", datastore="trend"),),
    ),
    Scenario(
        "almost full",
        "space",
        changed_answer(USAGE, faults.in_row("full", faults.full(0.95, days=1))),
        (
            alert("PbsDatastoreAlmostFull", "warning", datastore="full"),
            alert("PbsDatastoreFilling", "critical", datastore="full"),
        ),
        (alert("PbsDatastoreFilling", "warning", datastore="full"),),
    ),
    Scenario(
        "full",
        "space",
        changed_answer(USAGE, faults.in_row("fuller", faults.full(0.98, days=1))),
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
            changed_answer(
                USAGE,
                faults.in_row(
                    "main", lambda usage, _: {key: usage[key] for key in ("mount-status", "store")} | {"error": _OPEN}
                ),
            ),
            failed_answer("/admin/datastore/main/*", 400, _OPEN),
            changed_answer(GC, lambda rows, _: [row for row in rows if row["store"] != "main"]),
            changed_answer(VERIFY, row("store", "main", last_run_state=_OPEN)),
            faults.failed_task("prune", "main:vm/100", _OPEN),
        ),
        (alert("PbsDatastoreUnreadable", "critical", datastore="main"),),
        (
            alert("PbsJobFailed", "warning", job_type="verify", datastore="main"),
            alert("PbsTaskFailed", "warning", worker_type="prune", datastore="main"),
            alert("PbsCollectorFailing", "warning", collector="groups", datastore="main"),
            alert("PbsListingFailing", "warning", datastore="main"),
            alert("PbsListingOld", "warning", datastore="main"),
        ),
    ),
    Scenario(
        "offline",
        "datastores",
        both(
            faults.datastore_with("off", maintenance="offline,message=disk swap"),
            changed_answer(
                VERIFY,
                lambda rows, now: row("store", "off", last_run_state=VERIFICATION_FAILED, next_run=now - 2 * HOUR)(
                    rows, now
                ),
            ),
        ),
        (alert("PbsDatastoreMaintenance", "warning", datastore="off", mode="offline"),),
    ),
    Scenario(
        "not mounted for long",
        "datastores",
        faults.new_datastore("usb", {"mounted": True}, removable=True, mounted=False),
        (alert("PbsDatastoreNotMounted", "warning", datastore="usb"),),
    ),
    Scenario(
        "vanished",
        "datastores",
        faults.datastore_removed,
        (alert("PbsDatastoreVanished", "warning", datastore="gone"),),
    ),
    Scenario(
        "bucket out of reach",
        "s3",
        both(
            changed_answer("/admin/datastore/cloud/snapshots", group("100", faults.not_since(2 * DAY))),
            changed_answer(GC, row("store", "cloud", last_run_state="client error (Connect)")),
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
        changed_answer(GC, lambda rows, now: row("store", "deep", last_run_endtime=now - 9 * DAY)(rows, now)),
        (alert("PbsS3DatastoreFailing", "warning", datastore="deep"),),
        (alert("PbsGcNotRun", "warning", datastore="deep"),),
    ),
    Scenario(
        "no tape to write to",
        "tape",
        changed_answer(
            "/tape/media/list",
            lambda rows, _: [tape("WEEK01L8", "weekly", "full", "online-sl3"), *rows[1:]],
        ),
        (alert("PbsTapeNoMedia", "warning", pool="weekly"),),
    ),
    Scenario(
        "tape drive off",
        "tape",
        changed_answer("/tape/drive", row("name", "drive0", vendor=None, model=None, serial=None)),
        (alert("PbsTapeDriveMissing", "warning", name="drive0"),),
    ),
)
