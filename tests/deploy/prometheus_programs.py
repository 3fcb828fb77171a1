"""Old names, until tests/monitoring uses those of tests/support."""

from tests.support.prometheus_programs import newest, oldest

__all__ = ["newest", "oldest"]
