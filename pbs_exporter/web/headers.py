"""The headers of every response."""

from aiohttp import hdrs, web

HEADERS = {hdrs.SERVER: "pbs-exporter", "X-Content-Type-Options": "nosniff"}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add them to a response. The connection ends with it if the request has a body that hasn't arrived."""
    response.headers.update(HEADERS)
    if not request.content.is_eof():
        response.headers[hdrs.CONNECTION] = "close"
