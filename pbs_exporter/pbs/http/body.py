"""The body of an answer, in pieces: inflated here, so that its size is counted before it is in memory."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Any

import aiohttp

from pbs_exporter.errors import ProtocolFailed, TooLarge
from pbs_exporter.plain_text import first_line

PIECE_BYTES = 16 * 1024
"""The largest piece. The event loop can run after each, so this bounds for how long decoding holds it."""

PAUSE_SECONDS = 0.0003
"""Time after which it does run. A piece of good rows takes a quarter of that, and one of wrong rows much longer."""

_COMPRESSED_BYTES = 1024
"""How much is inflated at once. zlib copies what it leaves for the next piece, and this inflates to up to 1 MiB."""

KIB = 1024
MIB = 1024 * KIB

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB_METHOD = 8


async def pieces(response: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the inflated body as it arrives. Raise `TooLarge` if it has more than `limit` bytes."""
    left = limit

    def counted(piece: bytes) -> bytes:
        nonlocal left
        left -= len(piece)
        if left < 0:
            raise TooLarge(f"the answer is larger than {_in_words(limit)}")
        return piece

    clock = asyncio.get_running_loop().time
    paused_at = clock()
    inflate = _Inflater(response.headers.get("Content-Encoding", ""))
    async for chunk in response.content.iter_any():
        for piece in inflate.feed(chunk):
            yield counted(piece)
            if clock() - paused_at >= PAUSE_SECONDS:
                # More may be ready; without this, other asyncio tasks and the time limit would wait for the end.
                await asyncio.sleep(0)
                paused_at = clock()
    if rest := inflate.finish():
        yield counted(rest)


async def start_of_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return about the first `most` bytes, or less if the compression is broken."""
    start = bytearray()
    with suppress(ProtocolFailed):
        async with aclosing(pieces(response, most + PIECE_BYTES)) as body:
            async for piece in body:
                start += piece
                if len(start) >= most:
                    break
    return bytes(start)


class _Inflater:
    """Inflates a body in pieces of at most `PIECE_BYTES`, whatever a chunk of it inflates to."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "deflate", "gzip", "x-gzip"):
            raise ProtocolFailed(f"the answer has the encoding {first_line(encoding)}, which wasn't asked for")
        self._stream: Any = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._encoding in ("", "identity"):
            for begin in range(0, len(chunk), PIECE_BYTES):
                yield chunk[begin : begin + PIECE_BYTES]
            return
        if self._stream is None:
            self._stream = zlib.decompressobj(self._format(chunk[0]))
        for begin in range(0, len(chunk), _COMPRESSED_BYTES):
            yield from self._inflated(chunk[begin : begin + _COMPRESSED_BYTES])

    def _inflated(self, compressed: bytes) -> Iterator[bytes]:
        while compressed and not self._stream.eof:
            try:
                piece = self._stream.decompress(compressed, PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolFailed(f"the answer's compression is invalid: {error}") from None
            compressed = self._stream.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> bytes:
        """Return what zlib still holds, a few bytes after a full piece. Raise `ProtocolFailed` if there is no end."""
        if self._stream is None or self._stream.eof:
            return b""
        rest: bytes = self._stream.decompress(b"", PIECE_BYTES)
        if not self._stream.eof:
            raise ProtocolFailed("the answer's compression ended too early")
        return rest

    def _format(self, first: int) -> int:
        if self._encoding != "deflate":
            return _GZIP
        # Servers send "deflate" with a header of zlib, as the standard has it, or without.
        return zlib.MAX_WBITS if first & 0xF == _ZLIB_METHOD else -zlib.MAX_WBITS


def _in_words(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
