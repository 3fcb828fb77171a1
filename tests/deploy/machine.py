"""Old names, until tests/monitoring uses those of tests/support."""

from tests.support.cache import cached
from tests.support.commands import attempt, environment, process, run
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.polling import poll as eventually

__all__ = ["ROOT", "Namespace", "attempt", "cached", "environment", "eventually", "process", "run"]
