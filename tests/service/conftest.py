"""The recorded PBS that the processes under test query."""

from collections.abc import AsyncIterator

import pytest

from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.recordings import recording_file


@pytest.fixture
async def pbs() -> AsyncIterator[SimulatedPbs]:
    """Run a recorded PBS over TLS."""
    async with SimulatedPbs(Replay(recording_file("pbs-4.2.3")), login_delay=0, forbidden_delay=0) as simulated:
        yield simulated
