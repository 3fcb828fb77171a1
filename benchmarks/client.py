"""The measuring client: plain HTTP over a kept connection."""

import http.client
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

_PIECE = 256 * 1024
_SECONDS = 300.0


class Page(NamedTuple):
    """An answer: `seconds` are from before the request to the last byte. `encoding` is its `Content-Encoding`."""

    seconds: float
    body: bytearray
    encoding: str


class Client:
    """Asks one server; one request at a time."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._connection = (
            # Only ever the simulated PBS on the loopback address.
            http.client.HTTPSConnection(where.netloc, timeout=_SECONDS, context=ssl._create_unverified_context())  # noqa: S323, SLF001
            if where.scheme == "https"
            else http.client.HTTPConnection(where.netloc, timeout=_SECONDS)
        )

    def get(self, path: str, **headers: str) -> Page:
        """Ask for a path. Raises `ValueError` where the status isn't 200."""
        body = bytearray()
        started = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        # In pieces, so that other threads of this process get their turns.
        while piece := response.read(_PIECE):
            body += piece
        seconds = time.perf_counter() - started
        if response.status != http.client.OK:
            raise ValueError(f"status {response.status}: {bytes(body[:200])!r}")
        return Page(seconds, body, response.headers.get("Content-Encoding", ""))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
