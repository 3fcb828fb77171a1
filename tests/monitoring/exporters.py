"""The exporter as a process, in front of a PBS for the status page or of the demo's PBS."""

import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.support.commands import environment, process
from tests.support.simulated_pbs import Address
from tests.support.waiting import poll

LONG_NAME = "w" * 63
"""A target's name that is as long as names may be."""

_STARTED = re.compile(r"msg=started .*listen_address=(127\.0\.0\.1:[1-9]\d*) ")
_LOCAL = {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0"}


class ExporterProcess(msgspec.Struct, frozen=True):
    """A running exporter: its URL, its log and its secret."""

    url: str
    log: Path
    secret: str | None

    def get(self, path: str) -> str:
        """Return a page. Its status must be 200."""
        # The exporter is on this machine, so no proxy is used.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{path}", timeout=60) as answer:
            text: str = answer.read().decode()
        return text


@contextmanager
def in_front_of(state: str, folder: Path) -> Iterator[ExporterProcess]:
    """Run an exporter in front of a PBS in this state. It hasn't been scraped yet."""
    with _pbs(state, folder) as address, _running(folder, "serve", address.variables, address.secret) as exporter:
        yield exporter


@contextmanager
def fleet(number: int, state: str, folder: Path) -> Iterator[ExporterProcess]:
    """Run an exporter of a number of targets, of which these are something else than a PBS in this state.

    `closed` is a port on which nothing listens, `other` has another certificate than its settings say, and `refused`
    refuses the token. The name of the last target is as long as names may be.
    """
    with _pbs(state, folder) as pbs:
        own = {
            "closed": {"endpoint": "https://127.0.0.1:1"},
            "other": {"fingerprint": "00" * 32},
            "refused": {"token_secret": "another"},
            LONG_NAME: {},
        }
        names = [*own, *(f"pbs{index:03}" for index in range(number - len(own)))]
        keys = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, "token_secret": pbs.secret}
        keys["fingerprint"] = pbs.fingerprint
        lines = [
            f"[targets.{name}]\n"
            + "".join(f'{key} = "{text}"\n' for key, text in {**keys, **own.get(name, {})}.items())
            for name in names
        ]
        file = folder / "settings.toml"
        file.write_text("[exporter]\nprocess_metrics = false\n" + "".join(lines), encoding="utf-8")
        with with_settings(folder, file) as exporter:
            yield exporter


@contextmanager
def _pbs(state: str, folder: Path) -> Iterator[Address]:
    simulated = (sys.executable, "-m", "tests.monitoring.status_page_pbs", state)
    with process(*simulated, log=folder / "pbs.log") as pbs:
        assert pbs.stdout is not None
        line = pbs.stdout.readline()
        assert line, (folder / "pbs.log").read_text()
        yield msgspec.json.decode(line, type=Address)


@contextmanager
def demo(folder: Path, **variables: str) -> Iterator[ExporterProcess]:
    """Run the demo, which may be scraped already. `variables` are more of its environment."""
    with _running(folder, "demo", variables, None) as exporter:
        yield exporter


@contextmanager
def with_settings(folder: Path, file: Path) -> Iterator[ExporterProcess]:
    """Run an exporter with a settings file."""
    with _running(folder, "serve", {}, None, "--config", str(file)) as exporter:
        yield exporter


@contextmanager
def _running(
    folder: Path, command: str, variables: dict[str, str], secret: str | None, *arguments: str
) -> Iterator[ExporterProcess]:
    log = folder / f"{command}.log"
    env = environment(**_LOCAL, **variables, PBS_EXPORTER__EXPORTER__LOG_LEVEL="debug")
    with process(sys.executable, "-m", "pbs_exporter", command, *arguments, log=log, env=env):
        found = poll(lambda: _STARTED.search(log.read_text()), "the exporter serves")
        yield ExporterProcess(f"http://{found[1]}", log, secret)
