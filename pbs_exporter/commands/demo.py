"""`pbs-exporter demo`: a simulated PBS and the exporter, in one process."""

import asyncio
import socket
import sys
from collections.abc import Sequence

from pbs_exporter import log
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.commands.serve import serve_until_stopped
from pbs_exporter.config import ExporterSettings, ListenAddress, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.simulator import EVERYWHERE, SimulatedPbs, demo_world
from pbs_exporter.web.sockets import open_sockets

DEFAULTS = ExporterSettings(listen_address=ListenAddress("127.0.0.1", 9101))
"""By default the demo listens only on the loopback address."""


def run(exporter: ExporterSettings, pbs_port: int | None = None) -> int:
    """Serve metrics of a simulated PBS until SIGTERM or SIGINT, and return 0.

    With `pbs_port`, the simulated PBS listens on that port of all addresses. Raises `ListenError` if the listen
    address can't be bound.
    """
    sockets = open_sockets(exporter.listen_address)
    log.configure(exporter.log_level, exporter.log_format)
    asyncio.run(_demo(exporter, sockets, pbs_port))
    return 0


async def _demo(exporter: ExporterSettings, sockets: Sequence[socket.socket], pbs_port: int | None) -> None:
    pbs = SimulatedPbs(demo_world())
    await (pbs.start() if pbs_port is None else pbs.start(pbs_port, EVERYWHERE))
    try:
        target = TargetSettings(
            endpoint=pbs.endpoint,
            token_id=pbs.token_id,
            token_secret=Secret(pbs.secret),
            verify_tls=True,
            fingerprint=bytes.fromhex(pbs.fingerprint.replace(":", "")),
        )
        collectors = {collector.name: True for collector in COLLECTORS}
        port = sockets[0].getsockname()[1]
        print(
            f"A simulated PBS runs at {pbs.endpoint}, and its metrics are at http://127.0.0.1:{port}/metrics\n"
            "Ctrl-C ends both.",
            file=sys.stderr,
            flush=True,
        )
        main = TargetConfig(pbs=target, collectors=collectors)
        await serve_until_stopped(Settings(exporter=exporter, main=main), sockets)
    finally:
        await pbs.stop()
