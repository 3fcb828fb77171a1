"""The exporter whose status page is read."""

from collections.abc import AsyncIterator

import pytest

from tests.support.running import Setup, running


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Give an exporter in front of a PBS with two datastores where all is well."""
    async with running() as made:
        yield made
