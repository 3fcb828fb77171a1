"""A client of PBS for a command, which asks it once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pbs_exporter.clock import Clock
from pbs_exporter.config import TargetSettings
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport


@asynccontextmanager
async def client_of(settings: TargetSettings, clock: Clock) -> AsyncIterator[tuple[PbsClient, TokenAuth]]:
    """Yield a client that has a session of its own and observes nothing, and its login."""
    async with make_session() as session:
        auth = TokenAuth(settings, clock, lambda: None)
        transport = Transport(session, settings, auth, lambda _endpoint, _code, _seconds: None, clock)
        yield PbsClient(transport, settings, auth), auth
