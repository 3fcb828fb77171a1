"""The subjects of the page. A new one is a file and a line here."""

from pbs_exporter.collectors import datastores, gc, host, snapshots, tape, tasks
from pbs_exporter.collectors.base import AnyCollector

COLLECTORS: tuple[AnyCollector, ...] = (
    host.COLLECTOR,
    datastores.COLLECTOR,
    snapshots.COLLECTOR,
    tasks.COLLECTOR,
    gc.COLLECTOR,
    tape.COLLECTOR,
)

DEFAULTS = {collector.name: collector.default for collector in COLLECTORS}
"""Every collector's name, and whether it is on where the settings don't say."""
