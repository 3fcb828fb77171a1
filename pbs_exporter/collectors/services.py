"""PBS's services."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Service

RUNNING = Metric(
    "pbs_service_running",
    "1 if the systemd service runs, else 0; none for one that isn't installed or is disabled "
    "(/nodes/localhost/services, state, unit-state).",
    ("service",),
)

_UNWANTED = ("not-found", "masked", "disabled")


async def fetch(ask: Ask) -> list[Service]:
    """Ask for the services."""
    return ask.rows(await ask.pbs.services())


def samples(services: list[Service], _context: Context) -> Iterator[Sample]:
    """Make the samples of the services that are meant to run."""
    for service in services:
        if service.unit_state not in _UNWANTED and service.state is not None:
            yield from RUNNING(float(service.state == "running"), service.service)


COLLECTOR = Collector(
    name="services",
    help="Whether PBS's services run.",
    metrics=(RUNNING,),
    needs=(Need("Sys.Audit", "/system/services", "Audit"),),
    fetch=fetch,
    samples=samples,
    intervals=1,
)
