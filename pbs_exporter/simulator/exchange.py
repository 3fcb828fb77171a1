"""One request and its answer on the wire: sending, and the ways of not quite doing so."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from pbs_exporter.simulator.answer import Answer

_PIECE = 64 * 1024


@dataclass(eq=False)
class Request:
    """A line of the log."""

    method: str
    path: str
    """As it was sent (percent-encoded), without `/api2/json`."""
    template: str
    """The path's template, as `/admin/datastore/{store}/snapshots`; the path if PBS has no such endpoint."""
    query: str
    """As it was sent."""
    headers: Mapping[str, str]
    connection: int
    """The number of the TCP connection."""
    nth: int
    """Which request of its connection this is, from 1."""
    started: float
    """`time.monotonic()`."""
    ended: float | None = None
    """When the answer was sent, or the client or the server gave up; `None` while it goes on."""
    status: int | None = None
    """`None` as long as no status line was sent."""


@dataclass(eq=False)
class Exchange:
    """What a fault can do with one request."""

    request: web.Request
    log: Request
    answer: Callable[[], Awaitable[Answer]]
    """PBS's own answer, after its own delays."""

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Send `answer` as PBS does."""
        response, body = await self.begin(answer)
        for piece in pieces(body):
            await response.write(piece)
        return response

    async def begin(self, answer: Answer) -> tuple[web.StreamResponse, bytes]:
        """Send the status and the headers, and return the body as it has to be written."""
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        if answer.content_type is not None:
            response.headers[hdrs.CONTENT_TYPE] = answer.content_type
        deflate = answer.compressible and self._takes_deflate()
        if deflate:
            # In a thread, because it takes a second where a listing has a hundred megabytes.
            body = answer.deflated if len(answer.body) < _PIECE else await asyncio.to_thread(_deflate, answer)
            response.headers[hdrs.CONTENT_ENCODING] = "deflate"
        else:
            body = answer.body
        if answer.streamed or deflate:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        self.log.status = response.status
        await response.prepare(self.request)
        return response, b"" if self.request.method == hdrs.METH_HEAD else body

    def write_raw(self, data: bytes) -> None:
        """Send bytes that are no whole answer."""
        if (transport := self.request.transport) is not None:
            transport.write(data)

    def close(self) -> web.StreamResponse:
        """Close the connection as a server does that ends."""
        if (transport := self.request.transport) is not None:
            transport.close()
        return web.StreamResponse()

    def reset(self) -> web.StreamResponse:
        """Close the connection with a TCP reset."""
        if (transport := self.request.transport) is not None:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.StreamResponse()

    def _takes_deflate(self) -> bool:
        accepted = self.request.headers.get(hdrs.ACCEPT_ENCODING, "")
        return any(part.partition(";")[0].strip() == "deflate" for part in accepted.split(","))


def pieces(body: bytes) -> Iterator[memoryview]:
    """Yield `body` in the portions in which it is written."""
    view = memoryview(body)
    for begin in range(0, len(view), _PIECE):
        yield view[begin : begin + _PIECE]


def _deflate(answer: Answer) -> bytes:
    return answer.deflated
