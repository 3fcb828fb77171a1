"""A simulated PBS for the demo, development, tests and benchmarks."""

from pbs_exporter.simulator.answer import Answer, Call, RefusedError, Source
from pbs_exporter.simulator.certificate import Certificate
from pbs_exporter.simulator.exchange import LoggedRequest
from pbs_exporter.simulator.faults import Armed, Fault, Faults
from pbs_exporter.simulator.replay import Replay
from pbs_exporter.simulator.server import EVERYWHERE, SimulatedPbs
from pbs_exporter.simulator.world import World, demo_world

__all__ = [
    "EVERYWHERE",
    "Answer",
    "Armed",
    "Call",
    "Certificate",
    "Fault",
    "Faults",
    "LoggedRequest",
    "RefusedError",
    "Replay",
    "SimulatedPbs",
    "Source",
    "World",
    "demo_world",
]
