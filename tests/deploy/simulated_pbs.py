"""Old names, until tests/monitoring uses those of tests/support."""

from tests.support.simulated_pbs import Address, serve

__all__ = ["Address", "serve"]
