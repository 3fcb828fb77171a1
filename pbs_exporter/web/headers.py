"""The headers of every response."""

from aiohttp import hdrs, web

HEADERS = {hdrs.SERVER: "pbs-exporter", "X-Content-Type-Options": "nosniff"}


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add them to a response."""
    response.headers.update(HEADERS)
