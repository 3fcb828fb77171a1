"""One request and its answer on the wire, including incomplete ones."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import hdrs, web

from pbs_exporter.simulator.answer import Answer

_PIECE = 64 * 1024


@dataclass(eq=False)
class LoggedRequest:
    """A request in the log of the simulated PBS."""

    method: str
    path: str
    """Percent-encoded as in the request, without `/api2/json`."""
    template: str
    """The path's template, such as `/admin/datastore/{store}/snapshots`; `path` if there is no such endpoint."""
    query: str
    """As in the request."""
    headers: Mapping[str, str]
    connection: int
    """The number of the TCP connection, from 1."""
    nth: int
    """The number of the request on its connection, from 1."""
    started: float
    """`time.monotonic()`."""
    ended: float | None = None
    """`time.monotonic()` when the answer was complete or either side gave up; `None` before that."""
    status: int | None = None
    """`None` until the status line is sent."""


@dataclass(eq=False)
class Exchange:
    """One request, and what a server can do with it."""

    request: web.Request
    log: LoggedRequest
    answer: Callable[[], Awaitable[Answer]]
    """Returns PBS's regular answer, after its regular delays."""
    now: Callable[[], float]
    """Returns PBS's own time (Unix seconds)."""

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Send `answer` completely."""
        response, body = await self.begin(answer)
        for piece in pieces(body):
            await response.write(piece)
        return response

    async def begin(self, answer: Answer) -> tuple[web.StreamResponse, bytes]:
        """Send the status and the headers. Return the response and the encoded body, which is not sent yet."""
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.headers[hdrs.DATE] = formatdate(self.now(), usegmt=True)
        if answer.content_type is not None:
            response.headers[hdrs.CONTENT_TYPE] = answer.content_type
        deflate = answer.compressible and self._takes_deflate()
        if deflate:
            # In a thread: compressing a hundred megabytes takes a second.
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
        """Send raw bytes, without an HTTP head."""
        if (transport := self.request.transport) is not None:
            transport.write(data)

    def close(self) -> web.StreamResponse:
        """Close the connection."""
        if (transport := self.request.transport) is not None:
            transport.close()
        return web.StreamResponse()

    def reset(self) -> web.StreamResponse:
        """Close the connection with a TCP reset."""
        if (transport := self.request.transport) is not None:
            linger = struct.pack("ii", 1, 0)
            # A TLS connection has no socket any more if the client has closed it.
            if (connected := transport.get_extra_info("socket")) is not None:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.StreamResponse()

    def _takes_deflate(self) -> bool:
        accepted = self.request.headers.get(hdrs.ACCEPT_ENCODING, "")
        return any(part.partition(";")[0].strip() == "deflate" for part in accepted.split(","))


def pieces(body: bytes) -> Iterator[memoryview]:
    """Yield `body` in pieces of 64 KiB."""
    view = memoryview(body)
    for begin in range(0, len(view), _PIECE):
        yield view[begin : begin + _PIECE]


def _deflate(answer: Answer) -> bytes:
    return answer.deflated
