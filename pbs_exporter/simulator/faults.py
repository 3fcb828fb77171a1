"""Faults on demand, of a PBS, its host or a proxy in front of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from aiohttp import hdrs, web

from pbs_exporter.simulator.answer import JSON, Answer
from pbs_exporter.simulator.exchange import Exchange, pieces

_OK = 200

Act = Callable[[Exchange], Awaitable[web.StreamResponse]]


class Fault:
    """A faulty way to answer. Use the class methods to create one."""

    def __init__(self, act: Act, *, reused_only: bool = False) -> None:
        """Take the function that handles the request. `reused_only` exempts the first request of a connection."""
        self.act = act
        self.reused_only = reused_only

    @classmethod
    def status(cls, status: int, body: str = "", content_type: str | None = JSON) -> "Fault":
        """Answer with this status and text."""
        return cls._sends(Answer(status, body.encode(), content_type))

    @classmethod
    def body(cls, body: bytes, status: int = _OK, content_type: str | None = "text/html") -> "Fault":
        """Answer with these bytes."""
        return cls._sends(Answer(status, body, content_type))

    @classmethod
    def json(cls, data: object, status: int = _OK) -> "Fault":
        """Answer `{"data": data}`."""
        return cls._sends(replace(Answer.data(data), status=status))

    @classmethod
    def redirect(cls, url: str, status: int = 301) -> "Fault":
        """Redirect the client to `url`."""
        return cls._sends(Answer(status, b"", content_type=None, headers={hdrs.LOCATION: url}))

    @classmethod
    def slow(cls, seconds: float) -> "Fault":
        """Answer as usual after a delay in seconds."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return await exchange.send(await exchange.answer())

        return cls(act)

    @classmethod
    def rows(cls, change: Callable[[Any], object]) -> "Fault":
        """Answer as usual, but replace the decoded `data` with the result of `change`."""
        return cls._changes(lambda answer: _with_data(answer, change))

    @classmethod
    def truncated(cls) -> "Fault":
        """Send half of the JSON as a complete answer, as PBS does if it fails while streaming."""
        return cls._changes(lambda answer: _with_body(answer, answer.body[: len(answer.body) // 2]))

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection before the first byte of the answer."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            return exchange.reset()

        return cls(act)

    @classmethod
    def stall(cls) -> "Fault":
        """Accept the request and never answer."""

        async def act(_: Exchange) -> web.StreamResponse:
            return await _silence()

        return cls(act)

    @classmethod
    def stall_body(cls) -> "Fault":
        """Send the headers and half of the body, and keep the connection open."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            await _send_half(exchange)
            return await _silence()

        return cls(act)

    @classmethod
    def cut(cls) -> "Fault":
        """Send the headers and half of the body, and close the connection."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            response = await _send_half(exchange)
            exchange.close()
            return response

        return cls(act)

    @classmethod
    def partial_head(cls) -> "Fault":
        """Close the connection in the middle of the status line."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            exchange.write_raw(b"HTTP/1.1 2")
            return exchange.close()

        return cls(act)

    @classmethod
    def raw(cls, data: bytes) -> "Fault":
        """Send these bytes instead of an HTTP answer, and close the connection."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            exchange.write_raw(data)
            return exchange.close()

        return cls(act)

    @classmethod
    def drop_kept(cls) -> "Fault":
        """Close a connection at its second or a later request, before the first byte of the answer."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            return exchange.close()

        return cls(act, reused_only=True)

    @classmethod
    def huge(cls, size: int) -> "Fault":
        """Stream `size` bytes of an endless list."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            response, _ = await exchange.begin(Answer(_OK, b"", streamed=True))
            head = b'{"data":['[:size]
            await response.write(head)
            left, piece = size - len(head), b"0," * (32 * 1024)
            while left:
                await response.write(piece[:left])
                left -= min(left, len(piece))
            return response

        return cls(act)

    @classmethod
    def _sends(cls, answer: Answer) -> "Fault":
        async def act(exchange: Exchange) -> web.StreamResponse:
            return await exchange.send(answer)

        return cls(act)

    @classmethod
    def _changes(cls, change: Callable[[Answer], Answer]) -> "Fault":
        async def act(exchange: Exchange) -> web.StreamResponse:
            answer = await exchange.answer()
            return await exchange.send(change(answer) if answer.status == _OK else answer)

        return cls(act)


class Armed:
    """An active fault, returned by `Faults.add`."""

    def __init__(self, pattern: str, fault: Fault, times: int | None) -> None:
        """Take the arguments of `Faults.add`."""
        self.pattern = pattern
        self.fault = fault
        self.left = times
        self.hits = 0

    def remove(self) -> None:
        """Deactivate the fault."""
        self.left = 0

    def matches(self, exchange: Exchange) -> bool:
        """Whether the fault applies to this request."""
        names = (exchange.log.template, exchange.log.path)
        return (
            self.left != 0
            and any(fnmatchcase(name, self.pattern) for name in names)
            and not (self.fault.reused_only and exchange.log.nth == 1)
        )

    def take(self) -> Fault:
        """Count a hit, and return the fault."""
        self.hits += 1
        if self.left is not None:
            self.left -= 1
        return self.fault


class Faults:
    """The faults of one simulated PBS."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def add(self, pattern: str, fault: Fault, times: int | None = None) -> Armed:
        """Activate `fault` for `times` requests, or until it is removed.

        `pattern` is a shell pattern for a path template (`/admin/datastore/{store}/snapshots`) or a path
        (`/admin/datastore/main/snapshots`), without `/api2/json`; `*` also matches slashes. If several
        faults match, the newest applies.
        """
        armed = Armed(pattern, fault, times)
        self._armed.append(armed)
        return armed

    def clear(self) -> None:
        """Deactivate all faults."""
        self._armed.clear()

    def pick(self, exchange: Exchange) -> Fault | None:
        """Return the fault that applies to this request, and count the hit; `None` if there is none."""
        for armed in reversed(self._armed):
            if armed.matches(exchange):
                return armed.take()
        return None


def _with_body(answer: Answer, body: bytes) -> Answer:
    return replace(answer, body=body, streamed=True)


def _with_data(answer: Answer, change: Callable[[Any], object]) -> Answer:
    envelope = answer.decoded()
    envelope["data"] = change(envelope["data"])
    return replace(answer, body=msgspec.json.encode(envelope))


async def _send_half(exchange: Exchange) -> web.StreamResponse:
    response, body = await exchange.begin(await exchange.answer())
    for piece in pieces(body[: len(body) // 2]):
        await response.write(piece)
    return response


async def _silence() -> web.StreamResponse:
    # Cancelled when the client disconnects or the server stops.
    never: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await never
