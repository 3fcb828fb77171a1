"""Tapes: how many there are, where they are, and in which state."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import TapeMedium

_API = "(/tape/media/list, {})."


class TapeMediaCollector(Collector[list[TapeMedium]]):
    """Asks for the tapes, without an update of their status."""

    name = "tape_media"
    help = "Tapes of each media pool: status, location, expiry, bytes."
    needs = (Need("Tape.Audit", "/tape", "TapeAudit"),)

    MEDIA = Metric(
        "pbs_tape_media",
        f"Number of tapes of the pool with this status and location; pool is empty for unassigned tapes "
        f"{_API.format('pool, status, location')}",
        ("pool", "status", "location"),
    )
    EXPIRED = Metric(
        "pbs_tape_media_expired",
        f"Number of tapes of the pool that may be overwritten, as their media set has expired {_API.format('expired')}",
        ("pool",),
    )
    USED = Metric(
        "pbs_tape_media_used_bytes",
        f"Bytes written to the tapes of the pool {_API.format('bytes-used')}",
        ("pool",),
    )
    metrics = (MEDIA, EXPIRED, USED)

    async def fetch(self, request: CollectorRequest) -> Result[list[TapeMedium]]:
        """Ask for the tapes that PBS knows."""
        return of_rows(await request.pbs.tape_media())

    def samples(self, media: list[TapeMedium], _context: Context) -> Iterator[Sample]:
        """Count the tapes."""
        kinds = Counter(
            (tape.pool or "", states.known(tape.status, states.MEDIUM_STATES), states.place(tape.location))
            for tape in media
        )
        for kind, number in kinds.items():
            yield from self.MEDIA(number, *kind)
        pools: dict[str, list[TapeMedium]] = defaultdict(list)
        for tape in media:
            pools[tape.pool or ""].append(tape)
        for pool, tapes in pools.items():
            yield from self.EXPIRED(sum(bool(tape.expired) for tape in tapes), pool)
            used = [tape.bytes_used for tape in tapes if tape.bytes_used is not None]
            yield from self.USED(sum(used) if used else None, pool)
