"""Errors as one plain line: without the text of an exception, and without anything that the client sent."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import hdrs, web

from pbs_exporter.web.headers import HEADERS
from pbs_exporter.web.query import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 404 and 405 with their name, and a query that can't be answered with what is wrong."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response()
    except web.HTTPException as error:
        allow = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
        return web.Response(status=error.status, text=f"{error.status} {error.reason}\n", headers=allow)


def unhandled(status: int) -> web.Response:
    """Answer a request that reached no handler, because it isn't HTTP or because a handler failed."""
    return web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=HEADERS)
