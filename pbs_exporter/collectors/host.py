"""The host that PBS runs on."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import BootInfo, CpuInfo, FileSystem, Kernel, Memory, NodeStatus

_API = "(/nodes/localhost/status, {})."


def _metric(name: str, what: str, field: str) -> Metric:
    return Metric(f"pbs_host_{name}", f"{what} {_API.format(field)}")


class HostCollector(Collector[NodeStatus]):
    """Asks for the status of the node."""

    name = "host"
    help = "CPU, memory, swap, root file system and uptime of the PBS host."
    needs = (Need("Sys.Audit", "/system/status", "Audit"),)

    CPU_USAGE = _metric("cpu_usage", "CPU usage of the PBS host, from 0 to 1", "cpu")
    IO_WAIT = _metric("io_wait", "Share of CPU time spent waiting for I/O, from 0 to 1", "wait")
    LOAD = tuple(
        _metric(f"load{minutes.split()[0]}", f"Load average over {minutes}", "loadavg")
        for minutes in ("1 minute", "5 minutes", "15 minutes")
    )
    MEMORY = tuple(
        _metric(f"memory_{key}_bytes", f"{key.title()} memory of the PBS host", f"memory.{key}")
        for key in ("used", "total", "free")
    )
    SWAP = tuple(
        _metric(f"swap_{key}_bytes", f"{key.title()} swap space of the PBS host", f"swap.{key}")
        for key in ("used", "total", "free")
    )
    ROOTFS = tuple(
        _metric(f"rootfs_{key}_bytes", f"{what} space of the root file system", f"root.{key}")
        for key, what in (("used", "Used"), ("total", "Total"), ("avail", "Available"))
    )
    UPTIME = _metric("uptime_seconds", "Uptime of the PBS host", "uptime")
    CPUS = _metric("cpus", "Logical CPUs of the PBS host", "cpuinfo.cpus")
    INFO = Metric(
        "pbs_host_info",
        "Processor, kernel and boot mode of the PBS host; always 1 "
        f"{_API.format('cpuinfo, current-kernel, boot-info')}",
        ("cpu_model", "kernel", "boot_mode", "secureboot"),
    )
    metrics = (CPU_USAGE, IO_WAIT, *LOAD, *MEMORY, *SWAP, *ROOTFS, UPTIME, CPUS, INFO)

    async def fetch(self, request: CollectorRequest) -> Result[NodeStatus]:
        """Ask for the node's status."""
        return Result(await request.host_status.get())

    def samples(self, status: NodeStatus, _context: Context) -> Iterator[Sample]:
        """Make samples of the node's status."""
        memory, swap, root = status.memory or Memory(), status.swap or Memory(), status.root or FileSystem()
        cpu, boot = status.cpuinfo or CpuInfo(), status.boot_info or BootInfo()
        yield from self.CPU_USAGE(status.cpu)
        yield from self.IO_WAIT(status.wait)
        values = (
            *zip(self.LOAD, status.loadavg or (None, None, None), strict=True),
            *zip(self.MEMORY, (memory.used, memory.total, memory.free), strict=True),
            *zip(self.SWAP, (swap.used, swap.total, swap.free), strict=True),
            *zip(self.ROOTFS, (root.used, root.total, root.avail), strict=True),
        )
        for metric, value in values:
            yield from metric(value)
        yield from self.UPTIME(status.uptime)
        yield from self.CPUS(cpu.cpus)
        kernel = (status.current_kernel or Kernel()).release
        secureboot = None if boot.secureboot is None else str(int(boot.secureboot))
        yield from self.INFO(1, cpu.model, kernel, boot.mode, secureboot)
