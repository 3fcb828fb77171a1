"""An exporter for tests of the status page."""

from collections.abc import AsyncIterator

import pytest

from tests.support.running import Setup, running


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Run an exporter for a PBS with two datastores and no faults."""
    async with running() as made:
        yield made
