"""Prometheus exporter for Proxmox Backup Server."""

from pathlib import Path

__version__ = "0.1.0"

_revision = Path(__file__).with_name("revision.txt")

__revision__ = _revision.read_text().strip() if _revision.is_file() else ""
"""The commit from which the package was built, if the build recorded it; otherwise `""`."""
