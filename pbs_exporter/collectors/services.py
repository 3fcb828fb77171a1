"""PBS's services."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Service

_UNWANTED = ("not-found", "masked", "disabled")


class ServicesCollector(Collector[list[Service]]):
    """Asks for the services, for which PBS runs systemctl seven times."""

    name = "services"
    help = "Whether PBS's services are running."
    needs = (Need("Sys.Audit", "/system/services", "Audit"),)
    intervals = 1

    RUNNING = Metric(
        "pbs_service_running",
        "1 if the systemd service is running, else 0; absent if it is disabled or not installed "
        "(/nodes/localhost/services, state, unit-state).",
        ("service",),
    )
    metrics = (RUNNING,)

    async def fetch(self, request: CollectorRequest) -> Result[list[Service]]:
        """Ask for the services."""
        return of_rows(await request.pbs.services())

    def samples(self, services: list[Service], _context: Context) -> Iterator[Sample]:
        """Make samples of the services that are meant to run."""
        for service in services:
            if service.unit_state not in _UNWANTED and service.state is not None:
                yield from self.RUNNING(float(service.state == "running"), service.service)
