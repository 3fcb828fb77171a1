"""Settings and fixtures of all tests."""

import logging
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from unittest.mock import Mock

import aioresponses.core
import pytest
import structlog
from aiohttp import ClientResponse
from hypothesis import settings

from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.paths import recording_file

# A shell makes what it runs in the background ignore Ctrl-C, and nohup SIGHUP. The programs that tests start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Every run tries the same examples, and a slow machine is no failure.
settings.register_profile("quick", max_examples=200, derandomize=True, deadline=None, database=None)
settings.register_profile("long", settings.get_profile("quick"), max_examples=2000)
settings.load_profile("quick")

# aioresponses 0.7.9 doesn't know an argument that aiohttp 3.14 insists on.
setattr(aioresponses.core, "ClientResponse", partial(ClientResponse, stream_writer=Mock(output_size=0)))  # noqa: B010


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore logging's handlers and level, and structlog, after a test."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
async def pbs() -> AsyncIterator[SimulatedPbs]:
    """Run a recorded PBS over TLS."""
    async with SimulatedPbs(Replay(recording_file("pbs-4.2.3")), login_delay=0, forbidden_delay=0) as simulated:
        yield simulated
