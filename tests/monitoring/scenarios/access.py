"""Faults of access: certificates, tokens, privileges, and requests that fail."""

from tests.monitoring import faults
from tests.monitoring.calm_pbs import TASKS
from tests.monitoring.faults import answers, both, says
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
            *(says(path, lambda _rows, _: []) for path in ("/admin/datastore", USAGE, GC, VERIFY)),
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
            *(answers(path, 403, _FORBIDDEN) for path in (NODE, "/nodes/{node}/services", "/nodes/{node}/apt/update")),
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
