"""The types between the server and its sources of answers."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import msgspec

Row = dict[str, object]
"""A row of an answer's `data`."""

JSON = "application/json;charset=UTF-8"
"""The content type of PBS's answers, and of most of its errors, although those are plain text."""


@dataclass(frozen=True)
class Call:
    """An authenticated request."""

    path: str
    """Decoded, without `/api2/json`."""
    query: Sequence[tuple[str, str]] = ()
    """Names and values, decoded, in the order of the request."""
    fingerprint: str = ""
    """The fingerprint of the server's certificate."""


@dataclass
class Answer:
    """A complete answer."""

    status: int
    body: bytes
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    compressible: bool = False
    """Whether it is compressed if the client accepts deflate: PBS does so for all answers of handlers."""
    streamed: bool = False
    """Whether it is sent in chunks even if it isn't compressed."""

    @cached_property
    def deflated(self) -> bytes:
        """The body in PBS's `Content-Encoding: deflate`, which is the zlib format."""
        return zlib.compress(self.body, level=3)

    @classmethod
    def data(cls, data: object, **attributes: object) -> "Answer":
        """Return the answer of most endpoints: `{"data": …}` with sorted keys."""
        return cls(200, msgspec.json.encode({"data": data, **attributes}, order="sorted"), compressible=True)

    @classmethod
    def stream(cls, data: bytes, **attributes: object) -> "Answer":
        """Return the answer of a streaming endpoint with the encoded `data` as its last key."""
        before = b"".join(b'"%s":%s,' % (k.encode(), msgspec.json.encode(v)) for k, v in attributes.items())
        return cls(200, b'{%s"data":%s}' % (before, data), compressible=True, streamed=True)

    @classmethod
    def text(cls, status: int, text: str, *, compressible: bool = False) -> "Answer":
        """Return an error of PBS: plain text with the content type of JSON."""
        return cls(status, text.encode(), compressible=compressible)

    def decoded(self) -> dict[str, Any]:
        """Return the decoded JSON object, including `data`."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class RefusedError(Exception):
    """An answer other than 200, from a handler or (`by_handler=False`) from PBS's router."""

    def __init__(self, status: int, text: str, *, by_handler: bool = True) -> None:
        super().__init__(text)
        self.answer = Answer.text(status, text, compressible=by_handler)


def no_such_datastore(name: str) -> RefusedError:
    """Return the error for a datastore that isn't configured."""
    return RefusedError(400, f"no such datastore '{name}'")


def no_such_namespace() -> RefusedError:
    """Return the error for a namespace that doesn't exist."""
    return RefusedError(400, "ENOENT: No such file or directory")


LoginFailure = Literal["no-token", "wrong-secret"]

UNAUTHORIZED = Answer(
    401,
    b"authentication failed",
    content_type=None,
    headers={
        "Set-Cookie": "__Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
        "Secure; SameSite=Lax; HttpOnly; Path=/;",
    },
)
"""The answer of PBS 4.1.2 and later to every failed login."""


class Source(Protocol):
    """The source of a simulated PBS's answers."""

    def answer(self, call: Call) -> Answer:
        """Return the answer to `call`. It may block if the endpoint is `blocking`. Raises `RefusedError`."""

    def unauthorized(self, failure: LoginFailure) -> Answer:
        """Return the answer to a failed login."""

    def pbs_time(self) -> float:
        """Return PBS's own time (Unix seconds), which its `Date` headers have."""
