"""Faults of backups and of their verification."""

from tests.monitoring import faults
from tests.monitoring.backfill import DAY
from tests.monitoring.calm_pbs import SNAPSHOTS
from tests.monitoring.faults import both, changed_answer, group, row
from tests.monitoring.scenarios.scenario import EOF, SYNC, VERIFICATION_FAILED, VERIFY, Scenario, alert

BACKUPS = (
    Scenario(
        "backup missed",
        "backups",
        changed_answer(SNAPSHOTS, group("100", faults.not_since(2 * DAY))),
        (alert("PbsBackupTooOld", "warning", datastore="main", backup_type="vm", backup_id="100"),),
    ),
    Scenario(
        "backups fail for days",
        "backups",
        both(
            changed_answer(SNAPSHOTS, group("101", faults.not_since(4 * DAY))),
            faults.failed_task("backup", "main:vm/101", "backup ended: " + EOF),
        ),
        (alert("PbsBackupTooOld", "warning", backup_id="101"),),
        (alert("PbsTaskFailed", "warning", worker_type="backup", worker_id="main:vm/101", backup_id="101"),),
    ),
    Scenario(
        "all backups missed",
        "verification",
        changed_answer("/admin/datastore/third/snapshots", faults.not_since(2 * DAY)),
        (
            alert("PbsBackupsTooOld", "critical", datastore="third"),
            alert("PbsBackupTooOld", "warning", datastore="third", backup_id="100"),
            alert("PbsBackupTooOld", "warning", datastore="third", namespace="prod", backup_id="101"),
        ),
    ),
    Scenario(
        "guest retired",
        "gc",
        changed_answer("/admin/datastore/late/snapshots", group("100", faults.older_by(40 * DAY))),
        (alert("PbsGroupAbandoned", "info", datastore="late", backup_id="100"),),
    ),
    Scenario(
        "backup aborted",
        "backups",
        changed_answer(SNAPSHOTS, group("102", faults.unfinished)),
        (alert("PbsSnapshotUnfinished", "warning", backup_id="102"),),
    ),
    Scenario(
        "manifest unreadable",
        "backups",
        changed_answer(SNAPSHOTS, group("103", faults.damaged)),
        (alert("PbsSnapshotDamaged", "critical", backup_id="103"),),
    ),
    Scenario(
        "snapshots removed",
        "backups",
        changed_answer(SNAPSHOTS, group("104", lambda rows, _: rows[:2])),
        (alert("PbsSnapshotCountDropped", "warning", backup_id="104"),),
    ),
    Scenario(
        "snapshots of several groups removed",
        "removed",
        both(*(changed_answer(SNAPSHOTS, group(name, lambda rows, _: rows[:2])) for name in ("100", "101", "103"))),
        (alert("PbsSnapshotCountDropped", "critical", datastore="main"),),
        tuple(
            alert("PbsSnapshotCountDropped", "warning", datastore="main", backup_id=name)
            for name in ("100", "101", "103")
        ),
    ),
    Scenario(
        "disk taken out of the backup",
        "backups",
        changed_answer(SNAPSHOTS, group("105", faults.smaller)),
        (alert("PbsBackupSizeDropped", "info", backup_id="105"),),
    ),
    Scenario(
        "encryption lost",
        "backups",
        changed_answer(SNAPSHOTS, group("106", faults.plain)),
        (alert("PbsBackupNotEncrypted", "warning", namespace="prod", backup_id="106"),),
    ),
    Scenario(
        "newest snapshot fails verification, and so does the job",
        "verification",
        both(
            changed_answer("/admin/datastore/main/snapshots", group("100", faults.verified(0, "failed"))),
            changed_answer(VERIFY, row("store", "main", last_run_state=VERIFICATION_FAILED)),
            faults.failed_task("verify_snapshot", "main:vm/100/68899000", VERIFICATION_FAILED),
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
        changed_answer("/admin/datastore/main/snapshots", group("101", faults.verified(-1, "failed"))),
        (alert("PbsVerificationFailed", "warning", namespace="prod", backup_id="101"),),
    ),
    Scenario(
        "not verified for long",
        "verification",
        changed_answer("/admin/datastore/second/snapshots", group("100", faults.verified_before(50))),
        (alert("PbsVerificationTooOld", "warning", datastore="second", backup_id="100"),),
    ),
    Scenario(
        "never verified",
        "verification",
        changed_answer("/admin/datastore/second/snapshots", group("101", faults.never_verified(20))),
        (alert("PbsVerificationTooOld", "warning", datastore="second", backup_id="101"),),
    ),
    Scenario(
        "verify job removed",
        "verification",
        changed_answer(VERIFY, lambda rows, _: [row for row in rows if row["store"] != "third"]),
        (alert("PbsNoVerifyJob", "info", datastore="third"),),
    ),
    Scenario(
        "sync job removed",
        "odd",
        changed_answer(SYNC, lambda rows, _: [row for row in rows if row["store"] != "alone"]),
        (alert("PbsNoCopy", "info", datastore="alone"),),
    ),
)
