"""The file of a recorded PBS: JSON lines, the time first, then one answer a line."""

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
"""The headers of most answers. A request that PBS's router refuses reaches no handler: these lack the last two."""


class RecordedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file. Its body is in `body` where it is JSON, else in `text`: PBS's errors are plain text."""

    path: str
    """Percent-encoded, without `/api2/json`."""
    query: str = ""
    """Percent-encoded."""
    token: str
    """Who asked: `exporter`, `without-rights`, or a login that fails: `no-token`, `wrong-secret`."""
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
        """Return the answer with this body, which is kept as JSON only if a reader gets the same value back."""
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
        """Return the file's content: sorted, so that two recordings can be compared line by line."""
        answers = sorted(self.answers, key=lambda answer: (answer.path, answer.query, answer.token))
        return _lines([_Head(self.time), *answers])


class _Head(msgspec.Struct, frozen=True):
    recorded: int


_DECODER = msgspec.json.Decoder(RecordedAnswer)


def _lines(values: Iterable[object]) -> bytes:
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


def _one_line(content: bytes) -> bytes | None:
    """Return the JSON in `content` as one line without blanks; `None` if it is none or would change by that."""
    try:
        value = json.loads(content)
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return None
    return line if json.loads(line) == value else None
