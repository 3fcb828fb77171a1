"""The subscription."""

import datetime as dt
from collections.abc import Iterator

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample, state_set
from pbs_exporter.pbs.models import Subscription

STATUS = Metric(
    "pbs_subscription_status",
    "State of the subscription: 1 for its state, else 0 (/nodes/localhost/subscription, status).",
    ("status",),
)
NEXT_DUE = Metric(
    "pbs_subscription_next_due_timestamp_seconds",
    "When the subscription is due for renewal, at midnight UTC (/nodes/localhost/subscription, nextduedate).",
)


async def fetch(ask: Ask) -> Subscription:
    """Ask for the subscription."""
    return await ask.pbs.subscription()


def samples(subscription: Subscription, _context: Context) -> Iterator[Sample]:
    """Make the samples."""
    known = states.SUBSCRIPTION_STATES
    yield from state_set(STATUS, known, states.known(subscription.status, known))
    yield from NEXT_DUE(_midnight(subscription.nextduedate))


def _midnight(day: str | None) -> float | None:
    """Give a day's beginning as Unix time; `0000-00-00` is none."""
    try:
        return dt.datetime.strptime(day or "", "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None


COLLECTOR = Collector(
    name="subscription",
    help="State of the subscription, and when it is due.",
    metrics=(STATUS, NEXT_DUE),
    needs=(Need("Sys.Audit", "/", "Audit"),),
    fetch=fetch,
    samples=samples,
    intervals=1,
)
