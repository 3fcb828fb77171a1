"""The exporter whose status page is read."""

from collections.abc import AsyncIterator

import pytest

from tests.support.running import Setup, running


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Run an exporter in front of a PBS with two datastores and no faults."""
    async with running() as made:
        yield made
