"""The status page: the state of PBS, collectors and datastores at a glance."""

from pbs_exporter.web.status.facts import read
from pbs_exporter.web.status.page import write
from pbs_exporter.web.status.style import POLICY

__all__ = ["POLICY", "read", "write"]
