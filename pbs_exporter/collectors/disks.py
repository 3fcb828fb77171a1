"""Disks and ZFS pools of the host."""

import asyncio
from collections.abc import Iterator

import msgspec

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample, state_set
from pbs_exporter.pbs.models import Disk, Pool

_DISK = "(/nodes/localhost/disks/list, {})."
_POOL = "(/nodes/localhost/disks/zfs, {})."

HEALTH = Metric(
    "pbs_disk_health",
    f"State of the disk's SMART values: 1 for its state, else 0 {_DISK.format('status')}",
    ("disk", "model", "serial", "status"),
)
SIZE = Metric("pbs_disk_size_bytes", f"Size of the disk {_DISK.format('size')}", ("disk",))
LIFE = Metric(
    "pbs_disk_life_remaining_ratio",
    f"Share of its life that remains to the SSD, from 1 down to 0 {_DISK.format('wearout')}",
    ("disk",),
)
POOL_SIZE = Metric("pbs_zfs_pool_size_bytes", f"Size of the ZFS pool {_POOL.format('size')}", ("pool",))
POOL_ALLOCATED = Metric(
    "pbs_zfs_pool_allocated_bytes", f"Bytes that the ZFS pool has given away {_POOL.format('alloc')}", ("pool",)
)
POOL_FREE = Metric("pbs_zfs_pool_free_bytes", f"Bytes that the ZFS pool has free {_POOL.format('free')}", ("pool",))
POOL_FRAGMENTATION = Metric(
    "pbs_zfs_pool_fragmentation_ratio", f"Fragmentation of the ZFS pool's free space {_POOL.format('frag')}", ("pool",)
)
POOL_HEALTH = Metric(
    "pbs_zfs_pool_health",
    f"State of the ZFS pool: 1 for its state, else 0; PBS leaves out a pool that has failed {_POOL.format('health')}",
    ("pool", "status"),
)


class Disks(msgspec.Struct, frozen=True):
    """What PBS said of disks and pools."""

    disks: list[Disk]
    pools: list[Pool]


async def fetch(ask: Ask) -> Disks:
    """Ask for the disks, with their SMART values, and for the pools."""
    disks, pools = await asyncio.gather(ask.attempt(ask.pbs.disks), ask.attempt(ask.pbs.pools))
    return Disks([] if disks is None else ask.rows(disks), [] if pools is None else ask.rows(pools))


def samples(answer: Disks, _context: Context) -> Iterator[Sample]:
    """Make the samples of each disk and each pool."""
    for disk in answer.disks:
        status = states.known(disk.status, states.DISK_STATES)
        yield from state_set(HEALTH, states.DISK_STATES, status, disk.name, disk.model, disk.serial)
        yield from SIZE(disk.size, disk.name)
        yield from LIFE(None if disk.wearout is None else disk.wearout / 100, disk.name)
    for pool in answer.pools:
        yield from POOL_SIZE(pool.size, pool.name)
        yield from POOL_ALLOCATED(pool.alloc, pool.name)
        yield from POOL_FREE(pool.free, pool.name)
        yield from POOL_FRAGMENTATION(None if pool.frag is None else pool.frag / 100, pool.name)
        yield from state_set(POOL_HEALTH, states.POOL_STATES, states.known(pool.health, states.POOL_STATES), pool.name)


COLLECTOR = Collector(
    name="disks",
    help="Health and life of disks, and ZFS pools. PBS asks each disk for its SMART values, which can wake it.",
    metrics=(HEALTH, SIZE, LIFE, POOL_SIZE, POOL_ALLOCATED, POOL_FREE, POOL_FRAGMENTATION, POOL_HEALTH),
    needs=(Need("Sys.Audit", "/system/disks", "Audit"),),
    fetch=fetch,
    samples=samples,
    default=False,
    intervals=1,
)
