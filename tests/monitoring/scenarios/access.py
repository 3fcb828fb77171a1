"""Faults of access: certificates, tokens, privileges, and requests that fail."""

from tests.monitoring import faults
from tests.monitoring.calm_pbs import TASKS
from tests.monitoring.faults import both, changed_answer, failed_answer
from tests.monitoring.scenarios.scenario import GC, NODE, USAGE, VERIFY, Scenario, alert

_FORBIDDEN = "permission check failed"

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
        changed_answer("/access/users", faults.tokens_end(10)),
        (alert("PbsTokenExpiring", "warning"),),
    ),
    Scenario(
        "token ends in two days",
        "collectors",
        changed_answer("/access/users", faults.tokens_end(2)),
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
        "privilege taken away without which PBS shows nothing",
        "blind",
        both(
            faults.privilege_lost("Datastore.Audit"),
            *(changed_answer(path, lambda _rows, _: []) for path in ("/admin/datastore", USAGE, GC, VERIFY)),
        ),
        tuple(
            alert("PbsRightMissing", "warning", collector=collector, privilege="Datastore.Audit")
            for collector in ("datastores", "gc", "groups", "io", "jobs", "s3", "snapshots")
        ),
        (alert("PbsDatastoreVanished", "warning", datastore="main"),),
    ),
    Scenario(
        "privilege taken away",
        "privileges",
        both(
            faults.privilege_lost("Sys.Audit"),
            changed_answer(TASKS, lambda _rows, _: []),
            *(
                failed_answer(path, 403, _FORBIDDEN)
                for path in (NODE, "/nodes/{node}/services", "/nodes/{node}/apt/update")
            ),
        ),
        tuple(
            alert("PbsRightMissing", "warning", collector=collector, privilege="Sys.Audit")
            for collector in ("host", "io", "services", "subscription", "tasks", "updates")
        ),
        tuple(alert("PbsCollectorFailing", "warning", collector=name) for name in ("host", "services", "updates")),
    ),
    Scenario("token revoked", "login", faults.token_revoked, (alert("PbsLoginRefused", "critical"),)),
    Scenario(
        "certificate replaced",
        "certificate",
        faults.certificate_ends(300),
        (alert("PbsCertificateNotTrusted", "critical"),),
    ),
    Scenario("PBS stopped", "down", faults.pbs_stopped, (alert("PbsDown", "critical"),)),
    Scenario(
        "PBS that is off between its backups stays off",
        "nightly",
        faults.pbs_stopped,
        (alert("PbsNotSeen", "critical"),),
    ),
    Scenario("exporter stopped", "exporter", faults.exporter_stopped, (alert("PbsExporterDown", "critical"),)),
    Scenario("target removed", "absent", faults.target_removed, (alert("PbsExporterAbsent", "warning"),)),
    Scenario(
        "an answer takes longer than a scrape may",
        "slow",
        faults.slow_answer("/tape/drive", 30),
        (alert("PbsScrapeSlow", "warning"), alert("PbsCollectorFailing", "warning", collector="tape")),
    ),
    Scenario(
        "collector fails",
        "collectors",
        failed_answer("/tape/drive", 400, "client error (Connect)"),
        (alert("PbsCollectorFailing", "warning", collector="tape"),),
    ),
    Scenario(
        "datastores not listed",
        "unlisted",
        failed_answer("/admin/datastore", 400, "client error (Connect)"),
        tuple(
            alert("PbsCollectorFailing", "warning", collector=name)
            for name in ("datastores", "groups", "s3", "snapshots")
        ),
    ),
    Scenario(
        "slow collector fails",
        "collectors",
        failed_answer("/nodes/{node}/apt/update", 400, "unable to open file '/var/lib/proxmox-backup/pkg-state.json'"),
        (alert("PbsCollectorFailing", "warning", collector="updates"),),
    ),
    Scenario(
        "collector fails for one datastore",
        "collectors",
        failed_answer("/admin/datastore/cloud/status", 400, "client error (Connect)"),
        (alert("PbsCollectorFailing", "warning", collector="s3", datastore="cloud"),),
    ),
    Scenario(
        "listing fails",
        "listing",
        failed_answer("/admin/datastore/main/snapshots", 400, "ENOENT: No such file or directory"),
        (alert("PbsListingFailing", "warning", datastore="main"),),
        (alert("PbsListingOld", "warning", datastore="main"),),
    ),
    Scenario(
        "full listing waits", "old", faults.full_listings_wait, (alert("PbsListingOld", "warning", datastore="main"),)
    ),
)
