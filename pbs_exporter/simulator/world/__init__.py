"""The generated world of a simulated PBS: its datastores, backups and tasks, as functions of the time.

The files `*_rows.py` return the rows of PBS's answers.
"""

from pbs_exporter.simulator.world.demo_world import demo_world
from pbs_exporter.simulator.world.source import World

__all__ = ["World", "demo_world"]
