"""The status page: what an operator wants to know when something looks wrong."""

from pbs_exporter.web.status.facts import read
from pbs_exporter.web.status.page import write
from pbs_exporter.web.status.style import POLICY

__all__ = ["POLICY", "read", "write"]
