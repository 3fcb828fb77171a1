"""The subjects of the page. A new one is a file and a line here."""

from pbs_exporter.collectors import (
    access,
    certificate,
    datastores,
    disks,
    gc,
    host,
    io,
    jobs,
    s3,
    services,
    snapshots,
    subscription,
    tape,
    tape_media,
    tasks,
    updates,
)
from pbs_exporter.collectors.base import AnyCollector

COLLECTORS: tuple[AnyCollector, ...] = (
    host.COLLECTOR,
    datastores.COLLECTOR,
    snapshots.COLLECTOR,
    tasks.COLLECTOR,
    gc.COLLECTOR,
    tape.COLLECTOR,
    jobs.COLLECTOR,
    io.COLLECTOR,
    s3.COLLECTOR,
    tape_media.COLLECTOR,
    subscription.COLLECTOR,
    updates.COLLECTOR,
    services.COLLECTOR,
    certificate.COLLECTOR,
    access.COLLECTOR,
    disks.COLLECTOR,
)

DEFAULTS = {collector.name: collector.default for collector in COLLECTORS}
"""Every collector's name, and whether it is on where the settings don't say."""
