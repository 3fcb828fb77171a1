"""A small simulated PBS where nothing fails until a test adds a fault."""

from typing import Any

from pbs_exporter.simulator import Certificate, SimulatedPbs, Source, World

NOW = 1_795_000_000.0

NAMESPACES = "/admin/datastore/{store}/namespace"
SNAPSHOTS = "/admin/datastore/{store}/snapshots"
STATUS = "/admin/datastore/{store}/status"

_CERTIFICATE = Certificate.make()


def small_world(datastores: int = 2, namespaces: int = 2) -> World:
    """Return a PBS where no collector fails and nothing changes."""
    return World(datastores, namespaces, 1, 2, seed=1, now=lambda: NOW, task_history_seconds=100_000)


def simulated(source: Source | None = None, **options: Any) -> SimulatedPbs:
    """Return a simulated PBS that refuses without delay."""
    values = {"tls": False, "login_delay": 0.0, "forbidden_delay": 0.0, "certificate": _CERTIFICATE}
    return SimulatedPbs(source or small_world(), **{**values, **options})
