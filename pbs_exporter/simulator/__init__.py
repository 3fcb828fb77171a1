"""A PBS to run against: for the demo, for development, for tests and benchmarks."""

from pbs_exporter.simulator.answer import Answer, Call, RefusedError, Source
from pbs_exporter.simulator.certificate import Certificate
from pbs_exporter.simulator.demo import demo_world
from pbs_exporter.simulator.exchange import Request
from pbs_exporter.simulator.faults import Armed, Fault, Faults
from pbs_exporter.simulator.replay import Replay
from pbs_exporter.simulator.server import EVERYWHERE, SimulatedPbs
from pbs_exporter.simulator.world import World

__all__ = [
    "EVERYWHERE",
    "Answer",
    "Armed",
    "Call",
    "Certificate",
    "Fault",
    "Faults",
    "RefusedError",
    "Replay",
    "Request",
    "SimulatedPbs",
    "Source",
    "World",
    "demo_world",
]
