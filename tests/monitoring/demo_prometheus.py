"""Prometheus with rules, generated past samples, and exporters in front of simulated PBS."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.monitoring import servers
from tests.monitoring.demo_pbs import BARE, DEMO, JOB, SECOND, SITES
from tests.monitoring.rule_files import Rules, rewritten
from tests.monitoring.servers import HOST, Prometheus, add_samples
from tests.monitoring.short_durations import without_intervals
from tests.support.commands import environment, process, run
from tests.support.program import closed_port

WORLDS = ("-m", "tests.monitoring.demo_pbs")

_BIN = Path(sys.executable).parent


def hurried_rules(folder: Path) -> list[str]:
    """Write the rules without `interval` and `for`, so that alerts fire at once."""
    return rewritten(folder, _at_once)


def _at_once(rules: Rules) -> Rules:
    waits = ("for", "keep_firing_for")
    return {
        "groups": [
            group | {"rules": [{key: rule[key] for key in rule if key not in waits} for rule in group["rules"]]}
            for group in without_intervals(rules)["groups"]
        ]
    }


def write_past(folder: Path, instances: Sequence[str], *, start: float, end: float, step: int) -> None:
    """Fill the data of the Prometheus in a folder with past samples of these exporters."""
    add_samples(folder, past_samples(instances, start=start, end=end, step=step))


def past_samples(instances: Sequence[str], *, start: float, end: float, step: int) -> str:
    """Return past samples of these exporters."""
    times = (str(start), str(end), str(step))
    return run(sys.executable, *WORLDS, "past", *times, *instances, seconds=900)


def demo_prometheus(
    folder: Path, *, rules: Sequence[str] = (), targets: dict[str, int] | None = None, lookback: str = "5m"
) -> AbstractContextManager[Prometheus]:
    """Run Prometheus on the data in a folder, with these rules and targets."""
    static = [
        {"targets": [f"{HOST}:{at}"], "labels": {"instance": instance, "site": SITES[instance]}}
        for instance, at in (targets or {}).items()
    ]
    configuration = {
        # Long enough for a scrape on a busy machine.
        "global": {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"},
        "rule_files": list(rules),
        "scrape_configs": [{"job_name": JOB, "static_configs": static}],
    }
    return servers.prometheus(folder, configuration, options=(f"--query.lookback-delta={lookback}",))


@contextmanager
def exporters(folder: Path) -> Iterator[dict[str, int]]:
    """Run `pbs-exporter demo`, and exporters in front of the other simulated PBS. Yield their ports by instance."""
    port = closed_port()
    variables = environment(PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS=f"{HOST}:{port}")
    with ExitStack() as running_all:
        running_all.enter_context(process(_BIN / "pbs-exporter", "demo", log=folder / "demo.log", env=variables))
        ports = {DEMO: port}
        for instance in (SECOND, BARE):
            command = (sys.executable, *WORLDS, "live", instance)
            running = running_all.enter_context(process(*command, log=folder / f"{instance}.log"))
            assert running.stdout is not None
            ports[instance] = int(running.stdout.readline())
        yield ports
