"""Prometheus exporter for Proxmox Backup Server."""

__version__ = "0.1.0"
