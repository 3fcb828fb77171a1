"""The subjects of the metrics. A new one is a file and a line here."""

from pbs_exporter.collectors.access import AccessCollector
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.collectors.certificate import CertificateCollector
from pbs_exporter.collectors.datastores import DatastoresCollector
from pbs_exporter.collectors.disks import DisksCollector
from pbs_exporter.collectors.gc import GcCollector
from pbs_exporter.collectors.groups import GroupsCollector
from pbs_exporter.collectors.host import HostCollector
from pbs_exporter.collectors.io import IoCollector
from pbs_exporter.collectors.jobs import JobsCollector
from pbs_exporter.collectors.s3 import S3Collector
from pbs_exporter.collectors.services import ServicesCollector
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.collectors.subscription import SubscriptionCollector
from pbs_exporter.collectors.tape import TapeCollector
from pbs_exporter.collectors.tape_media import TapeMediaCollector
from pbs_exporter.collectors.tasks import TasksCollector
from pbs_exporter.collectors.updates import UpdatesCollector

COLLECTORS: tuple[AnyCollector, ...] = (
    HostCollector(),
    DatastoresCollector(),
    SnapshotsCollector(),
    TasksCollector(),
    GcCollector(),
    TapeCollector(),
    JobsCollector(),
    IoCollector(),
    S3Collector(),
    TapeMediaCollector(),
    SubscriptionCollector(),
    UpdatesCollector(),
    ServicesCollector(),
    CertificateCollector(),
    AccessCollector(),
    GroupsCollector(),
    DisksCollector(),
)

DEFAULTS = {collector.name: collector.default for collector in COLLECTORS}
"""Whether each collector is enabled where the settings don't say."""
