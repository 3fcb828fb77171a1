"""What a source of answers is asked, and what it says: the types between the server and its sources."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import msgspec

JSON = "application/json;charset=UTF-8"
"""The content type of PBS's answers, and of most of its errors, although these are plain text."""


@dataclass(frozen=True)
class Call:
    """A request that has got past the login."""

    path: str
    """Decoded, without `/api2/json`."""
    query: Sequence[tuple[str, str]] = ()
    """Names and values, decoded, in the order in which they were sent."""
    fingerprint: str = ""
    """Of the certificate that the server shows."""


@dataclass
class Answer:
    """One answer, ready to be sent."""

    status: int
    body: bytes
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    compressible: bool = False
    """Whether it is deflated where the client takes that: PBS does so for all that a handler says."""
    streamed: bool = False
    """Whether it goes out in chunks even if it isn't deflated."""

    @cached_property
    def deflated(self) -> bytes:
        """The body as PBS's `Content-Encoding: deflate` has it: in a zlib wrapper."""
        return zlib.compress(self.body, level=3)

    @classmethod
    def data(cls, data: object, **attributes: object) -> "Answer":
        """Return what most endpoints say: `{"data": …}`, and all keys sorted."""
        return cls(200, msgspec.json.encode({"data": data, **attributes}, order="sorted"), compressible=True)

    @classmethod
    def stream(cls, data: bytes, **attributes: object) -> "Answer":
        """Return what a streaming endpoint says of the encoded `data`: it is the last key."""
        before = b"".join(b'"%s":%s,' % (k.encode(), msgspec.json.encode(v)) for k, v in attributes.items())
        return cls(200, b'{%s"data":%s}' % (before, data), compressible=True, streamed=True)

    @classmethod
    def text(cls, status: int, text: str, *, compressible: bool = False) -> "Answer":
        """Return an error as PBS words it: plain text under the content type of JSON."""
        return cls(status, text.encode(), compressible=compressible)

    def decoded(self) -> dict[str, Any]:
        """Return the envelope of a good answer."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class RefusedError(Exception):
    """What PBS doesn't answer with 200: raised by a handler, or before one is reached."""

    def __init__(self, status: int, text: str, *, by_handler: bool = True) -> None:
        super().__init__(text)
        self.answer = Answer.text(status, text, compressible=by_handler)


def no_such_datastore(name: str) -> RefusedError:
    """Return the error for a datastore that isn't configured."""
    return RefusedError(400, f"no such datastore '{name}'")


def no_such_namespace() -> RefusedError:
    """Return the error for a namespace that isn't there."""
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
"""What PBS 4.1.2 and later say to each failed login."""


class Source(Protocol):
    """Where the answers of a simulated PBS come from."""

    def answer(self, call: Call) -> Answer:
        """Return the answer to `call`; may block for long where `api.blocks` says so."""

    def unauthorized(self, failure: LoginFailure) -> Answer:
        """Return the answer to a failed login."""
