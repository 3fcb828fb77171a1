"""`pbs-exporter serve`: the web service."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from pbs_exporter import __version__, log
from pbs_exporter.aiohttp_internals import Runner
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.commands import interpreter
from pbs_exporter.config import ListenAddress, Settings
from pbs_exporter.web.access_log import AccessLogger
from pbs_exporter.web.app import create_app
from pbs_exporter.web.plain_errors import unhandled
from pbs_exporter.web.sockets import open_sockets

SHUTDOWN_SECONDS = 1.5
"""Time for running scrapes to finish at shutdown. aiohttp may wait for it twice."""

_log = structlog.get_logger(__name__)


def run(settings: Settings, warnings: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT, and return 0. Raises `ListenError` if the listen address can't be bound."""
    # `serve_until_stopped` logs it; until then, too, it mustn't end the program.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sockets = open_sockets(settings.exporter.listen_address)
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, [settings.pbs.token_secret.reveal()])
    for warning in warnings:
        _log.warning(warning)
    interpreter.tune()
    asyncio.run(serve_until_stopped(settings, sockets))
    return 0


async def serve_until_stopped(settings: Settings, sockets: Sequence[socket.socket]) -> None:
    """Serve on these sockets until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, _log.warning, "SIGHUP ignored: settings are only read at start")
    # With port 0 in the settings, the system has chosen the port.
    address = ListenAddress(settings.exporter.listen_address.host, sockets[0].getsockname()[1])
    async with _serving(settings, sockets):
        _log.info(
            "started",
            version=__version__,
            listen_address=str(address),
            endpoint=settings.pbs.endpoint,
        )
        await stopped.wait()
        _log.info("stopping")


@asynccontextmanager
async def _serving(settings: Settings, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    runner = Runner(
        create_app(settings, COLLECTORS),
        unhandled,
        access_log_class=AccessLogger,
        # A client that disconnects needs no answer; work shared with other scrapes continues.
        handler_cancellation=True,
        # No handler reads the body of a request. What arrives isn't inflated, and isn't waited for after the response.
        auto_decompress=False,
        lingering_time=0.0,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        for listening in sockets:
            await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()
