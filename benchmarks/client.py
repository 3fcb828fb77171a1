"""The HTTP client that measures, with one persistent connection."""

import http.client
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

_PIECE = 256 * 1024
_SECONDS = 300.0


class Response(NamedTuple):
    """A response. `seconds` is from before the request to the last byte, `encoding` its `Content-Encoding`."""

    seconds: float
    body: bytearray
    encoding: str


class Client:
    """A client of one server, with one request at a time."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._connection = (
            # It only connects to the simulated PBS on the loopback address.
            http.client.HTTPSConnection(where.netloc, timeout=_SECONDS, context=ssl._create_unverified_context())  # noqa: S323, SLF001
            if where.scheme == "https"
            else http.client.HTTPConnection(where.netloc, timeout=_SECONDS)
        )

    def get(self, path: str, **headers: str) -> Response:
        """GET a path. Raises `ValueError` if the status isn't 200."""
        return self._request("GET", path, headers)

    def head(self, path: str, **headers: str) -> Response:
        """Do the same without a body."""
        return self._request("HEAD", path, headers)

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> Response:
        body = bytearray()
        started = time.perf_counter()
        self._connection.request(method, path, headers=dict(headers))
        response = self._connection.getresponse()
        # In pieces, so that other threads of this process can run.
        while piece := response.read(_PIECE):
            body += piece
        seconds = time.perf_counter() - started
        if response.status != http.client.OK:
            raise ValueError(f"status {response.status}: {bytes(body[:200])!r}")
        return Response(seconds, body, response.headers.get("Content-Encoding", ""))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
