"""The status page: what an operator wants to know when something looks wrong."""

from pbs_exporter.status.facts import read
from pbs_exporter.status.page import write
from pbs_exporter.status.style import POLICY

__all__ = ["POLICY", "read", "write"]
