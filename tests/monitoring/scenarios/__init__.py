"""The table of the end-to-end test: faults, and the alerts that report them.

All faults last at the same time, so the test also covers inhibitions.
"""

from collections.abc import Mapping

from tests.monitoring.scenarios.access import ACCESS
from tests.monitoring.scenarios.backups import BACKUPS
from tests.monitoring.scenarios.datastores import DATASTORES
from tests.monitoring.scenarios.host import HOST
from tests.monitoring.scenarios.scenario import Expected, Scenario
from tests.monitoring.scenarios.tasks_jobs import TASKS_AND_JOBS

__all__ = ["NOT_TESTED", "SCENARIOS", "Expected", "Scenario"]

SCENARIOS = (*HOST, *ACCESS, *BACKUPS, *TASKS_AND_JOBS, *DATASTORES)

NOT_TESTED: Mapping[tuple[str, str], str] = {}
"""Alerts and severities that no fault of a simulated PBS can cause, each with the reason."""
