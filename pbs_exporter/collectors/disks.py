"""Disks and ZFS pools of the host."""

import asyncio
from collections.abc import Iterator

import msgspec

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.exposition.metric import Metric, Sample, state_set
from pbs_exporter.pbs.models import Disk, Pool

_DISK = "(/nodes/localhost/disks/list, {})."

_POOL = "(/nodes/localhost/disks/zfs, {})."


class Disks(msgspec.Struct, frozen=True):
    """The disks and the pools."""

    disks: list[Disk]
    pools: list[Pool]


class DisksCollector(Collector[Disks]):
    """Disabled by default, as it can wake disks."""

    name = "disks"
    help = "Health and remaining life of disks, and ZFS pools. PBS reads SMART values, which can wake a disk."
    needs = (Need("Sys.Audit", "/system/disks", "Audit"),)
    default = False
    intervals = 1

    HEALTH = Metric(
        "pbs_disk_health",
        f"SMART health of the disk: 1 for the current state, else 0 {_DISK.format('status')}",
        ("disk", "model", "serial", "status"),
    )
    SIZE = Metric("pbs_disk_size_bytes", f"Size of the disk {_DISK.format('size')}", ("disk",))
    LIFE = Metric(
        "pbs_disk_life_remaining_ratio",
        f"Remaining life of the SSD, from 1 to 0 {_DISK.format('wearout')}",
        ("disk",),
    )
    POOL_SIZE = Metric("pbs_zfs_pool_size_bytes", f"Size of the pool {_POOL.format('size')}", ("pool",))
    POOL_ALLOCATED = Metric(
        "pbs_zfs_pool_allocated_bytes", f"Bytes allocated in the pool {_POOL.format('alloc')}", ("pool",)
    )
    POOL_FREE = Metric("pbs_zfs_pool_free_bytes", f"Free bytes in the pool {_POOL.format('free')}", ("pool",))
    POOL_FRAGMENTATION = Metric(
        "pbs_zfs_pool_fragmentation_ratio",
        f"Fragmentation of the free space in the pool, from 0 to 1 {_POOL.format('frag')}",
        ("pool",),
    )
    POOL_HEALTH = Metric(
        "pbs_zfs_pool_health",
        f"Health of the pool: 1 for the current state, else 0; PBS omits a pool that has failed "
        f"{_POOL.format('health')}",
        ("pool", "status"),
    )
    metrics = (HEALTH, SIZE, LIFE, POOL_SIZE, POOL_ALLOCATED, POOL_FREE, POOL_FRAGMENTATION, POOL_HEALTH)

    async def fetch(self, request: CollectorRequest) -> Result[Disks]:
        """Ask for the disks, with their SMART values, and for the pools."""
        with Findings() as found:
            disks, pools = await asyncio.gather(found.attempt(request.pbs.disks), found.attempt(request.pbs.pools))
            return found.result(Disks(found.rows(disks), found.rows(pools)))

    def samples(self, answer: Disks, _context: Context) -> Iterator[Sample]:
        """Make samples of each disk and each pool."""
        for disk in answer.disks:
            status = states.known(disk.status, states.DISK_STATES)
            yield from state_set(self.HEALTH, states.DISK_STATES, status, disk.name, disk.model, disk.serial)
            yield from self.SIZE(disk.size, disk.name)
            yield from self.LIFE(None if disk.wearout is None else disk.wearout / 100, disk.name)
        for pool in answer.pools:
            yield from self.POOL_SIZE(pool.size, pool.name)
            yield from self.POOL_ALLOCATED(pool.alloc, pool.name)
            yield from self.POOL_FREE(pool.free, pool.name)
            yield from self.POOL_FRAGMENTATION(None if pool.frag is None else pool.frag / 100, pool.name)
            yield from state_set(
                self.POOL_HEALTH, states.POOL_STATES, states.known(pool.health, states.POOL_STATES), pool.name
            )
