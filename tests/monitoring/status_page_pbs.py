"""PBS for the status page: a healthy one, one with faults, and one with 200 datastores.

`python -m tests.monitoring.status_page_pbs STATE` serves one, as `tests.support.simulated_pbs` does.
"""

import asyncio
import sys
import time
from collections.abc import Callable

from pbs_exporter.simulator import Fault, SimulatedPbs, World
from tests.support.simulated_pbs import serve

DATASTORES = {"well": 12, "trouble": 20, "many": 200}
"""The states, each with its number of datastores."""

_LACKING = frozenset({"Remote.Audit", "Tape.Audit"})
_PERMISSIONS = ("/", "/access", "/datastore", "/remote", "/system")


def make(state: str, now: Callable[[], float] = time.time, *, tls: bool = True) -> SimulatedPbs:
    """Return a PBS in this state. The caller starts and stops it."""
    world = World(DATASTORES[state], 2, 2, 3, now=now, task_history_seconds=86_400)
    pbs = SimulatedPbs(world, tls=tls)
    if state != "well":
        _break(world, pbs)
    return pbs


def _break(world: World, pbs: SimulatedPbs) -> None:
    """Remove privileges, make a listing and a collector fail, unmount a disk, and put a datastore into maintenance."""
    by_name = {store.name: store for store in world.stores}
    by_name["lab"].maintenance = "offline,message=disk check"
    by_name["mirror"].removable, by_name["mirror"].mounted = True, False
    granted = dict.fromkeys(sorted(world.privileges - _LACKING), True)
    pbs.faults.add("/access/permissions", Fault.json(dict.fromkeys(_PERMISSIONS, granted)))
    pbs.faults.add("/admin/gc", Fault.status(500, "unable to open file '/etc/proxmox-backup/datastore.cfg'"))
    broken = "unable to read directory '/mnt/archive/vm/101' - Input/output error (os error 5)"
    pbs.faults.add("/admin/datastore/archive/snapshots", Fault.status(400, broken))


if __name__ == "__main__":
    asyncio.run(serve(make(sys.argv[1])))
