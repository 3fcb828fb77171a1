"""`/health`: whether the program runs."""

from aiohttp import web


async def health(_request: web.Request) -> web.Response:
    """Return `ok`. PBS isn't asked: its failures are no reason to restart this program."""
    return web.Response(text="ok\n")
