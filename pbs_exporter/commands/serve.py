"""`pbs-exporter serve`: the web service."""

import asyncio
import errno
import resource
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from pbs_exporter import __version__, log
from pbs_exporter.aiohttp_internals import Runner
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.commands import interpreter
from pbs_exporter.config import ListenAddress, Settings
from pbs_exporter.open_connections import ConnectionLimits
from pbs_exporter.web.access_log import AccessLogger
from pbs_exporter.web.app import READINESS, RELOADER, TARGETS, create_app
from pbs_exporter.web.port.guard import Guard
from pbs_exporter.web.port.listener import BACKLOG, accepting
from pbs_exporter.web.reload import Load
from pbs_exporter.web.sockets import open_sockets

QUIET_SECONDS = 1.0
"""Time for running scrapes to finish at shutdown before the port is closed."""

SHUTDOWN_SECONDS = 1.0
"""Time for running scrapes to finish after that. aiohttp may wait for it twice."""

SPARE_DESCRIPTORS = 64
"""Open files besides the connections of clients: connections to PBS, listening sockets, files."""

ACCEPTED_AT_ONCE = 8
"""New connections per turn of the event loop. All of them are open before the first one can be closed for another."""

HEADERS = 64
"""The most headers of a request. Each takes many times its bytes."""

LOG_SECONDS = 60.0

_log = structlog.get_logger(__name__)


def run(load: Load) -> int:
    """Serve until SIGTERM or SIGINT, and return 0.

    `load` reads the settings, now and at each reload. Raise `ConfigError` if they can't be used now, and `ListenError`
    if the listen address can't be bound.
    """
    settings, warnings = load()
    # A mistake in the web configuration is told before anything is logged, as one in the settings is.
    guard = Guard(settings.exporter.web_config_file)
    sockets = open_sockets(settings.exporter.listen_address)
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, settings.secrets)
    for warning in warnings:
        _log.warning(warning)
    interpreter.tune()
    interpreter.raise_descriptor_limit()
    asyncio.run(serve_until_stopped(settings, sockets, load, guard))
    return 0


async def serve_until_stopped(
    settings: Settings, sockets: Sequence[socket.socket], load: Load | None = None, guard: Guard | None = None
) -> None:
    """Serve on these sockets until SIGTERM or SIGINT. SIGHUP reads the settings again by `load`.

    Without a `guard`, the web configuration is read here.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # With port 0 in the settings, the system has chosen the port.
    address = ListenAddress(settings.exporter.listen_address.host, sockets[0].getsockname()[1])
    async with _serving(settings, sockets, load=load, guard=guard) as app:
        loop.add_signal_handler(signal.SIGHUP, app[RELOADER].start)
        _log.info(
            "started",
            version=__version__,
            listen_address=str(address),
            **({} if settings.main is None else {"endpoint": settings.main.pbs.endpoint}),
            **({"targets": len(settings.targets)} if settings.targets else {}),
        )
        await stopped.wait()
        app[READINESS].is_ending = True
        # From here on none of them changes the exit code, even after the event loop is closed.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        _log.info("stopping")
        # Meanwhile the port is open, so that whoever asks for readiness learns of the end.
        await app[TARGETS].quiet(QUIET_SECONDS)


@asynccontextmanager
async def _serving(
    settings: Settings,
    sockets: Sequence[socket.socket],
    limits: ConnectionLimits | None = None,
    load: Load | None = None,
    guard: Guard | None = None,
) -> AsyncIterator[web.Application]:
    loop = asyncio.get_running_loop()
    guard = guard or Guard(settings.exporter.web_config_file)
    guard.announce()
    limits = limits or ConnectionLimits(number=_connections(settings.exporter.max_connections))
    limited = _Occasionally("connections closed for new ones", limit=limits.number, setting="max_connections")
    exhausted = _Occasionally("connections not accepted: no file descriptors or memory")

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
            exhausted.count()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    app = create_app(settings, COLLECTORS, load=load, guard=guard)
    runner = Runner(
        app,
        guard.unhandled,
        limits,
        limited.count,
        access_log_class=AccessLogger,
        # A client that disconnects needs no answer; work shared with other scrapes continues.
        handler_cancellation=True,
        # No handler reads the body of a request. What arrives isn't inflated, and isn't waited for after the response.
        auto_decompress=False,
        lingering_time=0.0,
        max_headers=HEADERS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        if guard.context is not None:
            async with accepting(runner, sockets, guard.context):
                yield app
        else:
            for listening in sockets:
                await web.SockSite(runner, listening, backlog=ACCEPTED_AT_ONCE).start()
                # asyncio has one number for both.
                listening.listen(BACKLOG)
            yield app
    finally:
        await runner.cleanup()


def _connections(wanted: int) -> int:
    """Return the limit of open connections: the setting, or what the limit of open files leaves."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else max(1, min(wanted, files - SPARE_DESCRIPTORS))


class _Occasionally:
    """Logs something that may happen very often: at once, and then at most once in `LOG_SECONDS`, with its number."""

    def __init__(self, event: str, **fields: object) -> None:
        self._event = event
        self._fields = fields
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def count(self) -> None:
        """Count one."""
        self._number += 1
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        if self._number:
            _log.warning(self._event, number=self._number, **self._fields)
            self._number = 0
            self._timer = asyncio.get_running_loop().call_later(LOG_SECONDS, self._tell)
