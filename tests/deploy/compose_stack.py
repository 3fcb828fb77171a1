"""The monitoring stack of deploy/compose, on an engine without a registry."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.docker_engine import Docker
from tests.support.commands import environment, run
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest
from tests.support.waiting import poll

STACK = Path("deploy", "compose")
"""The folder of the stack in a checkout."""

PROMETHEUS = "http://127.0.0.1:9090"
ALERTMANAGER = "http://127.0.0.1:9093"
"""Their addresses on the engine's machine."""

PROGRAMS = {
    "prometheus": {"prometheus": "prometheus", "promtool": "promtool"},
    "alertmanager": {"prometheus-alertmanager": "alertmanager", "amtool": "amtool"},
}
"""For each service, the programs of its image: name in Debian → name in the image."""

_STAND_IN = """\
FROM pbs-exporter
USER 0:0
ENV PATH=/bin
COPY bin /bin
COPY share /usr/share/prometheus/alertmanager
COPY --chown=65534:65534 data /{service}
USER 65534:65534
HEALTHCHECK NONE
ENTRYPOINT ["/bin/{service}"]
"""


class Checkout:
    """A copy of the checkout, with a shell that uses the engine's `docker`."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self.docker = docker
        self.folder = folder
        self.directory = folder
        """The working directory of the shell."""
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        for name in listed.split("\0"):
            if name and (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        compose = folder / STACK / "compose.yaml"
        compose.write_text(without_grafana(compose.read_text(encoding="utf-8")), encoding="utf-8")

    def __call__(self, commands: str, stdin: str = "") -> str:
        """Run commands on the engine's machine, in the directory of the shell, and return their output.

        A `cd` lasts. Raise `AssertionError` if a command fails.
        """
        env = self.docker.env | {"PATH": f"{self.docker.programs}:{environment()['PATH']}"}
        ended = self.folder.with_name(f"{self.folder.name}.directory")
        script = f"trap 'pwd >{ended}' EXIT\n{commands}"
        bash = self.docker.machine.inside("bash", "-euo", "pipefail", "-c", script)
        try:
            return run(*bash, cwd=self.directory, env=env, stdin=stdin)
        finally:
            self.directory = Path(ended.read_text().strip())

    def wait(self) -> None:
        """Wait until Prometheus and Alertmanager answer."""
        for server in (PROMETHEUS, ALERTMANAGER):
            poll(partial(self._ready, server), server)

    def ask(self, url: str) -> Any:
        """Return the decoded JSON response of a server on the engine's machine."""
        return json.loads(self.docker.machine.get(url))

    def value(self, query: str) -> float | None:
        """Return the value of an expression (without blanks) with at most one series, or `None` if it has none."""
        result = self.ask(f"{PROMETHEUS}/api/v1/query?query={query}")["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules that Prometheus has loaded."""
        groups = self.ask(f"{PROMETHEUS}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _ready(self, server: str) -> bool:
        # Alertmanager answers "OK", and Prometheus with a sentence.
        said = self.docker.machine.try_get(f"{server}/-/ready") or ""
        return said.strip() in {"OK", "Prometheus Server is Ready."}


def filled_in(settings: dict[str, str]) -> str:
    """Return .env.example with these settings filled in."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, value in settings.items():
        text, count = re.subn(rf"^(# )?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1
    return text


def without_grafana(compose: str) -> str:
    """Return the stack's compose.yaml without Grafana, which Debian doesn't have."""
    left, count = re.subn(r"^  grafana:\n(?:(?:    .*)?\n)+", "", compose, count=1, flags=re.MULTILINE)
    assert count == 1
    assert yaml.safe_load(compose)["services"].keys() - yaml.safe_load(left)["services"].keys() == {"grafana"}
    return left


def build_stand_ins(docker: Docker, folder: Path) -> None:
    """Build images of Debian's Prometheus and Alertmanager, under the names in the stack's compose.yaml."""
    services = yaml.safe_load((ROOT / STACK / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service, programs in PROGRAMS.items():
        context = folder / service
        (context / "bin").mkdir(parents=True)
        # The base has no shell that could make it. Builders don't copy an empty folder's owner alike.
        (context / "data").mkdir()
        (context / "data" / "owned").touch()
        # Debian's Alertmanager reads its templates from files; the official one has them built in.
        shutil.copytree(newest("prometheus").parents[1] / "share" / "prometheus" / "alertmanager", context / "share")
        for debian, name in programs.items():
            shutil.copy(newest(debian), context / "bin" / name)
        (context / "Dockerfile").write_text(_STAND_IN.format(service=service))
        docker("build", "--quiet", "--tag", services[service]["image"], context)
        shutil.rmtree(context)
