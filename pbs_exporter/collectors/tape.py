"""Tape drives."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import TapeDrive


class TapeCollector(Collector[list[TapeDrive]]):
    """Asks for the drives, without their activity."""

    name = "tape"
    help = "Tape drives: their devices, and whether they are in use."
    needs = (Need("Tape.Audit", "/tape", "TapeAudit"),)

    INFO = Metric(
        "pbs_tape_drive_info",
        "A configured tape drive, and its device if PBS finds one; always 1 (/tape/drive).",
        ("name", "vendor", "model", "serial"),
    )
    AVAILABLE = Metric(
        "pbs_tape_drive_available",
        "Number of tape drives whose device is present and that no task is using (/tape/drive).",
    )
    BUSY = Metric(
        "pbs_tape_drive_busy", "1 while a task is using the tape drive, else 0 (/tape/drive, state).", ("name",)
    )
    metrics = (INFO, AVAILABLE, BUSY)

    async def fetch(self, request: CollectorRequest) -> Result[list[TapeDrive]]:
        """Ask for the drives."""
        return of_rows(await request.pbs.tape_drives())

    def samples(self, drives: list[TapeDrive], _context: Context) -> Iterator[Sample]:
        """Make samples of the drives."""
        free = 0
        for drive in drives:
            yield from self.INFO(1, drive.name, drive.vendor, drive.model, drive.serial)
            busy = drive.state is not None
            yield from self.BUSY(float(busy), drive.name)
            present = any((drive.vendor, drive.model, drive.serial))
            free += present and not busy
        yield from self.AVAILABLE(free)
