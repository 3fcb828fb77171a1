"""`/health` and `/-/ready`: whether the program runs, and whether it takes requests."""

from aiohttp import web


async def health(_request: web.Request) -> web.Response:
    """Return `ok`. PBS isn't asked: its failures are no reason to restart this program."""
    return web.Response(text="ok\n")


class Readiness:
    """Whether requests should come here. They do once the port listens, until the program ends."""

    def __init__(self) -> None:
        self.is_ending = False

    async def handle(self, _request: web.Request) -> web.Response:
        """Answer `/-/ready`."""
        return web.Response(status=503, text="ending\n") if self.is_ending else web.Response(text="ok\n")
