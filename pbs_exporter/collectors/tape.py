"""Tape drives."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import TapeDrive

INFO = Metric(
    "pbs_tape_drive_info",
    "A configured tape drive and its device, as far as PBS sees one; always 1 (/tape/drive).",
    ("name", "vendor", "model", "serial"),
)
AVAILABLE = Metric(
    "pbs_tape_drive_available", "Tape drives whose device is there and that no task holds (/tape/drive)."
)
BUSY = Metric("pbs_tape_drive_busy", "1 while a task holds the tape drive, else 0 (/tape/drive, state).", ("name",))


async def fetch(ask: Ask) -> list[TapeDrive]:
    """Ask for the drives."""
    return ask.rows(await ask.pbs.tape_drives())


def samples(drives: list[TapeDrive], _context: Context) -> Iterator[Sample]:
    """Make the samples of the drives."""
    free = 0
    for drive in drives:
        yield from INFO(1, drive.name, drive.vendor, drive.model, drive.serial)
        busy = drive.state is not None
        yield from BUSY(float(busy), drive.name)
        present = any((drive.vendor, drive.model, drive.serial))
        free += present and not busy
    yield from AVAILABLE(free)


COLLECTOR = Collector(
    name="tape",
    help="Tape drives: what they are, and whether they are free.",
    metrics=(INFO, AVAILABLE, BUSY),
    needs=(Need("Tape.Audit", "/tape", "TapeAudit"),),
    fetch=fetch,
    samples=samples,
)
