"""The file format of a recorded PBS: JSON lines, with the time on the first and one answer on each other."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from pbs_exporter.simulator.answer import JSON

OF_A_HANDLER: Mapping[str, str] = {
    "Content-Type": JSON,
    "Content-Encoding": "deflate",
    "Transfer-Encoding": "chunked",
}
"""The headers of an answer that one of PBS's handlers made. Those of its router lack the last two."""


class RecordedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file. The body is in `body` if it is JSON, else in `text`: PBS's errors are plain text."""

    path: str
    """Percent-encoded, without `/api2/json`."""
    query: str = ""
    """Percent-encoded."""
    token: str
    """The login of the request: `exporter`, `without-rights`, or one that fails (`no-token`, `wrong-secret`)."""
    status: int
    headers: Mapping[str, str] | None = None
    """`None`: `OF_A_HANDLER`."""
    text: str = ""
    body: msgspec.Raw = msgspec.Raw()

    @property
    def content(self) -> bytes:
        """The body as PBS sent it, inflated."""
        return bytes(self.body) or self.text.encode()

    @classmethod
    def make(cls, content: bytes, **fields: Any) -> Self:  # noqa: ANN401 - the other fields
        """Return the answer with this body. It is kept as JSON only if a reader gets the same value back."""
        line = _one_line(content)
        if line is None:
            return cls(**fields, text=content.decode(errors="replace"))
        return cls(**fields, body=msgspec.Raw(line))


class Recording(msgspec.Struct, frozen=True):
    """The answers of one PBS, and the Unix time at which it gave them."""

    time: int
    answers: list[RecordedAnswer]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the recording in a file."""
        first, *lines = file.read_bytes().splitlines()
        return cls(msgspec.json.decode(first, type=_Head).recorded, [_DECODER.decode(line) for line in lines])

    def encode(self) -> bytes:
        """Return the content of the file, sorted so that two recordings can be compared line by line."""
        answers = sorted(self.answers, key=lambda answer: (answer.path, answer.query, answer.token))
        return _lines([_Head(self.time), *answers])


class _Head(msgspec.Struct, frozen=True):
    recorded: int


_DECODER = msgspec.json.Decoder(RecordedAnswer)


def _lines(values: Iterable[object]) -> bytes:
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


def _one_line(content: bytes) -> bytes | None:
    """Return the JSON in `content` on one line without blanks, or `None` if it isn't JSON or its value would change."""
    try:
        value = json.loads(content)
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return None
    return line if json.loads(line) == value else None
