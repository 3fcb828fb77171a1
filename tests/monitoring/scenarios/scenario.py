"""A scenario of the end-to-end test of alerts: a fault, and the alerts that report it."""

from typing import NamedTuple

from tests.monitoring.faults import Make
from tests.monitoring.servers import Labels

HOUR = 3600

NODE = "/nodes/{node}/status"
USAGE = "/status/datastore-usage"
SYNC, PRUNE, VERIFY, GC = "/admin/sync", "/admin/prune", "/admin/verify", "/admin/gc"

EOF = "connection error: unexpected end of file"
VERIFICATION_FAILED = "verification failed - please check the log for details"


class Expected(NamedTuple):
    """An alert: its name, and some of its labels."""

    name: str
    labels: Labels

    def __str__(self) -> str:
        return f"{self.name}{{{', '.join(f'{key}={value!r}' for key, value in self.labels.items())}}}"


def alert(name: str, severity: str, /, **labels: str) -> Expected:
    return Expected(name, {"severity": severity, **labels})


class Scenario(NamedTuple):
    """A fault of one simulated PBS, which Prometheus knows as `instance`.

    `active` are the alerts that Alertmanager sends, `inhibited` the ones that it keeps back.
    """

    name: str
    instance: str
    fault: Make
    active: tuple[Expected, ...]
    inhibited: tuple[Expected, ...] = ()
