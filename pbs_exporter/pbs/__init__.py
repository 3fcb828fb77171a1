"""Proxmox Backup Server's REST API, as far as it is needed here. Knows nothing of Prometheus."""
