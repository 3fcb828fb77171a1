"""The access log."""

import structlog
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse


class AccessLogger(AbstractAccessLogger):
    """A line at debug for each request, without its query."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Log a request that has been answered."""
        structlog.get_logger("pbs_exporter.access").debug(
            "request",
            method=request.method,
            path=request.path,
            status=response.status,
            bytes=response.body_length,
            seconds=round(time, 3),
            remote=request.remote,
        )
