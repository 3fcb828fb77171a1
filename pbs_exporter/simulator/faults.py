"""Faults on demand: what a PBS, its host or a proxy in front of it can do wrong."""

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
    """One way of answering badly; made by the constructors below."""

    def __init__(self, act: Act, *, kept_only: bool = False) -> None:
        """Take what is done instead of answering; `kept_only` spares a connection's first request."""
        self.act = act
        self.kept_only = kept_only

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
        """Send the client elsewhere."""
        return cls._sends(Answer(status, b"", content_type=None, headers={hdrs.LOCATION: url}))

    @classmethod
    def slow(cls, seconds: float) -> "Fault":
        """Take this much longer, and then answer as usual."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return await exchange.send(await exchange.answer())

        return cls(act)

    @classmethod
    def rows(cls, change: Callable[[Any], object]) -> "Fault":
        """Answer as usual, but with what `change` makes of the decoded `data`."""
        return cls._changes(lambda answer: _with_data(answer, change))

    @classmethod
    def truncated(cls) -> "Fault":
        """Send half of the JSON as if it were all: what PBS does if it fails while it streams."""
        return cls._changes(lambda answer: _with_body(answer, answer.body[: len(answer.body) // 2]))

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection before any byte of an answer."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            return exchange.reset()

        return cls(act)

    @classmethod
    def stall(cls) -> "Fault":
        """Take the request and never answer."""

        async def act(_: Exchange) -> web.StreamResponse:
            return await _silence()

        return cls(act)

    @classmethod
    def stall_body(cls) -> "Fault":
        """Send the headers and half of the body, and then nothing more."""

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
        """Close the connection within the status line."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            exchange.write_raw(b"HTTP/1.1 2")
            return exchange.close()

        return cls(act)

    @classmethod
    def drop_kept(cls) -> "Fault":
        """Close a kept connection on its second (or a later) request, before any byte of an answer."""

        async def act(exchange: Exchange) -> web.StreamResponse:
            return exchange.close()

        return cls(act, kept_only=True)

    @classmethod
    def huge(cls, size: int) -> "Fault":
        """Stream `size` bytes of a list that doesn't end."""

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
    """A fault in force: what `Faults.add` returns."""

    def __init__(self, pattern: str, fault: Fault, times: int | None) -> None:
        """Take what `Faults.add` was given."""
        self.pattern = pattern
        self.fault = fault
        self.left = times
        self.hits = 0

    def remove(self) -> None:
        """End it."""
        self.left = 0

    def matches(self, exchange: Exchange) -> bool:
        """Whether the fault is for this request."""
        names = (exchange.log.template, exchange.log.path)
        return (
            self.left != 0
            and any(fnmatchcase(name, self.pattern) for name in names)
            and not (self.fault.kept_only and exchange.log.nth == 1)
        )

    def take(self) -> Fault:
        """Count one use."""
        self.hits += 1
        if self.left is not None:
            self.left -= 1
        return self.fault


class Faults:
    """The faults of one simulated PBS."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def add(self, pattern: str, fault: Fault, times: int | None = None) -> Armed:
        """Put `fault` in force, for `times` requests or until it is removed.

        `pattern` is a shell pattern for a path template (`/admin/datastore/{store}/snapshots`) or a path
        (`/admin/datastore/main/snapshots`), without `/api2/json`; `*` also matches slashes. Where several
        match, the newest acts.
        """
        armed = Armed(pattern, fault, times)
        self._armed.append(armed)
        return armed

    def clear(self) -> None:
        """End all faults."""
        self._armed.clear()

    def pick(self, exchange: Exchange) -> Fault | None:
        """Return the fault for this request, and count it."""
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
    # Ends by cancellation, when the client leaves or the server stops.
    never: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await never
