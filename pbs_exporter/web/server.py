"""What is no HTTP, answered as plainly as the rest.

Touches private parts of aiohttp's server (3.14): there is no public way to replace its answer to a malformed request,
which has aiohttp's version and the parser's text with what was sent.
"""

from http import HTTPStatus

from aiohttp import web

from pbs_exporter.web.headers import HEADERS


class Runner(web.AppRunner):
    """Runs the application. What is no HTTP never gets to it, and is answered here as plainly as the rest.

    aiohttp's own answer has its version, and the parser's text with what was sent.
    """

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(server.request_handler, request_factory=server.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # It logs, and refuses where an answer has begun. Who sends no HTTP fills no log.
            super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=HEADERS)
        response.force_close()
        return response
