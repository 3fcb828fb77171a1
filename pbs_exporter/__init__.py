"""Prometheus exporter for Proxmox Backup Server."""

from pathlib import Path

__version__ = "0.1.0"

_revision = Path(__file__).with_name("revision.txt")

__revision__ = _revision.read_text().strip() if _revision.is_file() else ""
"""The commit that the package was built from, where the build wrote it down; else `""`."""
