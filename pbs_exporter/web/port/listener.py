"""Connections with TLS to our own port."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from pbs_exporter.aiohttp_internals import Runner
from pbs_exporter.web.port.tls import connecting

ACCEPT_RETRY_SECONDS = 1.0
"""The time before the next try when there are no file descriptors. asyncio waits as long."""

BACKLOG = 128

CLOSING_SECONDS = 2.0
"""The time that a client has to confirm the end of a connection."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def accepting(runner: Runner, sockets: Sequence[socket.socket], context: ssl.SSLContext) -> AsyncIterator[None]:
    """Accept connections on these sockets until the block ends.

    asyncio's own server doesn't know a connection before its handshake is done. Here it counts against the limits of
    connections from the beginning.
    """
    listeners = [asyncio.create_task(_accept(runner, listening, context)) for listening in sockets]
    try:
        yield
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def _accept(runner: Runner, listening: socket.socket, context: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    listening.setblocking(False)  # noqa: FBT003 - its only argument
    listening.listen(BACKLOG)
    handshakes: set[asyncio.Task[None]] = set()
    try:
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except ConnectionError:
                continue
            except OSError as error:
                loop.call_exception_handler({"message": "a connection can't be accepted", "exception": error})
                await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                continue
            handshakes.add(handshake := loop.create_task(_shake_hands(runner, connected, context)))
            handshake.add_done_callback(handshakes.discard)
            # The others go on between two connections.
            await asyncio.sleep(0)
    finally:
        for handshake in handshakes:
            handshake.cancel()
        listening.close()


async def _shake_hands(runner: Runner, connected: socket.socket, context: ssl.SSLContext) -> None:
    """Make a connection. The limits of connections end it if that takes long."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for mypy
    connecting.set(connected)
    with runner.beginning(task.cancel) as protocol:
        try:
            await loop.connect_accepted_socket(
                lambda: protocol, connected, ssl=context, ssl_shutdown_timeout=CLOSING_SECONDS
            )
        except OSError as error:
            _log.debug("no TLS with a client", error=str(error))
