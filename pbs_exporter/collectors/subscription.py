"""The subscription."""

import datetime as dt
from collections.abc import Iterator

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.exposition.metric import Metric, Sample, state_set
from pbs_exporter.pbs.models import Subscription


class SubscriptionCollector(Collector[Subscription]):
    """Asks for the subscription."""

    name = "subscription"
    help = "State of the subscription, and when it is due for renewal."
    needs = (Need("Sys.Audit", "/", "Audit"),)
    intervals = 1

    STATUS = Metric(
        "pbs_subscription_status",
        "State of the subscription: 1 for the current state, else 0 (/nodes/localhost/subscription, status).",
        ("status",),
    )
    NEXT_DUE = Metric(
        "pbs_subscription_next_due_timestamp_seconds",
        "When the subscription is due for renewal, at midnight UTC (/nodes/localhost/subscription, nextduedate).",
    )
    metrics = (STATUS, NEXT_DUE)

    async def fetch(self, request: CollectorRequest) -> Result[Subscription]:
        """Ask for the subscription."""
        return Result(await request.pbs.subscription())

    def samples(self, subscription: Subscription, _context: Context) -> Iterator[Sample]:
        """Make samples of its state and its date."""
        known = states.SUBSCRIPTION_STATES
        yield from state_set(self.STATUS, known, states.known(subscription.status, known))
        yield from self.NEXT_DUE(_midnight(subscription.nextduedate))


def _midnight(day: str | None) -> float | None:
    """Return the start of a day as Unix time. PBS's `0000-00-00` is no day."""
    try:
        return dt.datetime.strptime(day or "", "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None
