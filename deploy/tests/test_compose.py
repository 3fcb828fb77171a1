import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker import HOST, Docker
from machine import ROOT, attempt, environment, eventually, run
from simulated import Address, Simulate

ALONE = ROOT / "compose.yaml"
STACK = ROOT / "deploy" / "compose"
FILES = (ALONE, STACK / "compose.yaml")
PROMETHEUS = STACK / "prometheus" / "prometheus.yml"
YAML = [*FILES, PROMETHEUS, *STACK.glob("grafana/**/*.yml")]
YAML_RULES = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}"
PAGE = f"http://{HOST}:9101/metrics"
DOCS = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")

STAND_IN = """\
FROM pbs-exporter
USER 0:0
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]
"""


class Compose:
    """Stacks on a running engine, which has the project's image."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        self._up: list[tuple[Path, str]] = []

    def up(self, folder: Path, *arguments: str, profile: str = "none") -> None:
        """Bring the services that `arguments` name (none: all) up."""
        self._up.append((folder, profile))
        self.docker.compose(folder, "--profile", profile, "up", "--detach", "--no-build", *arguments)

    def down(self) -> None:
        """Take away all that was brought up."""
        for folder, profile in self._up:
            self.docker.compose(folder, "--profile", profile, "down", "--volumes", "--timeout", "5")


def configuration(docker: Docker, folder: Path) -> dict[str, Any]:
    """Give what Compose understands of the file in a folder."""
    found = json.loads(docker.compose(folder, "config", "--format", "json"))
    assert isinstance(found, dict)
    return found


def tool(name: str) -> Path:
    """Give a program of this Python's environment."""
    return Path(sys.executable).with_name(name)


@pytest.fixture(scope="module")
def pbs(docker: Docker, simulated_pbs: Simulate) -> Iterator[Address]:
    """Run a simulated PBS on the engine's machine, where containers reach it."""
    with simulated_pbs(docker.machine, HOST) as address:
        yield address


@pytest.fixture
def compose(docker: Docker) -> Iterator[Compose]:
    """Give what brings a stack up; it is taken down after the test."""
    made = Compose(docker)
    yield made
    made.down()


def filled_in(settings: dict[str, str]) -> str:
    """Give .env.example as an operator fills it in."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, value in settings.items():
        text, count = re.subn(rf"^(# )?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1
    return text


def blocks(heading: str, language: str) -> list[str]:
    """Give the code blocks of that language below a heading of docs/deployment.md."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


def check_prometheus(file: Path) -> str:
    """Give what promtool says of a Prometheus configuration that is right."""
    return run("promtool", "check", "config", file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_schema(file: Path, tmp_path: Path) -> None:
    """The file is one by the Compose specification, whose schema takes no key that it doesn't know."""
    check = (tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec")
    run(*check, file)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(file.read_text().replace("read_only:", "readonly:"))
    assert attempt(*check, wrong).returncode == 1


@pytest.mark.parametrize("file", YAML, ids=lambda file: str(file.relative_to(ROOT)))
def test_yaml_style(file: Path) -> None:
    """The file is YAML as yamllint likes it."""
    assert run(tool("yamllint"), "--strict", "-d", YAML_RULES, file) == ""


def test_alone(compose: Compose, pbs: Address, tmp_path: Path) -> None:
    """compose.yaml with a filled-in .env.example gets healthy, and another machine can scrape its published port."""
    shutil.copy(ALONE, tmp_path)
    (tmp_path / ".env").write_text(filled_in(pbs.variables))
    compose.up(tmp_path, "--wait")
    assert "\npbs_up 1.0\n" in compose.docker.clients.get(PAGE)
    known = compose.docker.inspect("pbs-exporter")
    assert known["State"]["Health"]["Status"] == "healthy"
    host = known["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] == 128 << 20
    assert host["PidsLimit"] == 64
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    seconds = 1_000_000_000
    assert known["Config"]["Healthcheck"] == {
        "Test": ["CMD", "pbs-exporter", "healthcheck"],
        "Interval": 30 * seconds,
        "Timeout": 3 * seconds,
        "StartPeriod": 5 * seconds,
        "Retries": 3,
    }


def test_alone_with_the_secret_in_a_file(compose: Compose, pbs: Address, tmp_path: Path) -> None:
    """The alternative that compose.yaml has as a comment works: the secret comes from a file, and is in no variable."""
    text, count = re.subn(r"^( *)# (?=(  )*[a-zP_-]+[:A-Z_]*:|  - )", r"\1", ALONE.read_text(), flags=re.MULTILINE)
    assert count == 7
    (tmp_path / "compose.yaml").write_text(text)
    settings = {name: value for name, value in pbs.variables.items() if not name.endswith("TOKEN_SECRET")}
    (tmp_path / ".env").write_text(filled_in(settings))
    (tmp_path / "pbs_token").write_text(pbs.secret)
    compose.up(tmp_path)
    page = eventually(lambda: compose.docker.clients.try_get(PAGE), "a page")
    assert "\npbs_up 1.0\n" in page
    assert pbs.secret not in json.dumps(compose.docker.inspect("pbs-exporter"))


def test_prometheus_configuration() -> None:
    """Promtool takes the stack's Prometheus configuration, which gives a scrape less time than there is between two."""
    assert "SUCCESS" in check_prometheus(PROMETHEUS)
    (job,) = yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    seconds = [int(job[key].removesuffix("s")) for key in ("scrape_timeout", "scrape_interval")]
    assert seconds == sorted(seconds)


def test_grafana_is_provisioned(docker: Docker) -> None:
    """Grafana's data source is the stack's Prometheus, and dashboards are read from the folder that is mounted."""
    services = configuration(docker, STACK)["services"]
    mounts = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"]}
    provisioning = mounts["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in services
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "pbs.yml").read_text())["providers"]
    assert mounts[provider["options"]["path"]] == STACK / "grafana" / "dashboards"
    assert mounts[provider["options"]["path"]].is_dir()


def test_stack_asks_the_pbs_of_its_env(docker: Docker, pbs: Address, tmp_path: Path) -> None:
    """The stack's exporter asks the PBS of the .env, and the simulated one where there is no .env."""
    folder = tmp_path / "deploy" / "compose"
    shutil.copytree(STACK, folder)
    (folder / ".env").unlink(missing_ok=True)
    names = [name for name in pbs.variables if not name.endswith("FINGERPRINT")]

    def asked() -> dict[str, str]:
        variables = configuration(docker, folder)["services"]["exporter"]["environment"]
        return {name: variables[name] for name in names}

    assert asked()["PBS_EXPORTER__PBS__ENDPOINT"] == "https://simulated-pbs:8007"
    (folder / ".env").write_text(filled_in(pbs.variables))
    assert asked() == {name: pbs.variables[name] for name in names}


def test_demo(compose: Compose, tmp_path: Path) -> None:
    """The profile `demo` shows metrics without any PBS: the stack's Prometheus scrapes the exporter by its name.

    Prometheus is Debian's in an image made here, under the name of the real one. There is no Grafana to run.
    """
    folder = tmp_path / "deploy" / "compose"
    shutil.copytree(STACK, folder)
    (folder / ".env").unlink(missing_ok=True)
    docker = compose.docker
    image = configuration(docker, folder)["services"]["prometheus"]["image"]
    prometheus = shutil.which("prometheus", path=environment()["PATH"])
    assert prometheus is not None
    (tmp_path / "image").mkdir()
    shutil.copy(prometheus, tmp_path / "image" / "prometheus")
    (tmp_path / "image" / "Dockerfile").write_text(STAND_IN)
    docker("build", "--quiet", "--tag", image, tmp_path / "image")
    compose.up(folder, "exporter", "prometheus", "simulated-pbs", profile="demo")

    eventually(lambda: docker.machine.try_get("http://127.0.0.1:9090/-/ready"), "Prometheus")

    def value(query: str) -> str | None:
        url = f"http://127.0.0.1:9090/api/v1/query?query={query}"
        result = json.loads(docker.machine.get(url))["data"]["result"]
        return str(result[0]["value"][1]) if result else None

    eventually(lambda: value("up") == "1", "a scrape that works", seconds=60, pause=1)
    assert value('up{job="pbs",instance="exporter:9101"}') == "1"
    assert value("pbs_up") == "1"
    assert int(value("count(pbs_snapshot_count)") or 0) > 5
    assert value("time()-max(pbs_snapshot_last_timestamp_seconds)<3600") is not None


def test_two_hosts(tmp_path: Path) -> None:
    """The two files that the documentation shows for two hosts are right, and fit each other and compose.yaml."""
    compose, scraped = blocks("Two LXC containers", "yaml")
    (tmp_path / "compose.yaml").write_text(compose)
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml")
    (tmp_path / "prometheus.yml").write_text(scraped)
    assert "SUCCESS" in check_prometheus(tmp_path / "prometheus.yml")
    (service,) = yaml.safe_load(compose)["services"].values()
    (target,) = yaml.safe_load(scraped)["scrape_configs"][0]["static_configs"][0]["targets"]
    assert service.pop("ports") == [f"{target}:9101"]
    (alone,) = yaml.safe_load(ALONE.read_text())["services"].values()
    # The image has the same health check.
    assert service == {key: value for key, value in alone.items() if key not in {"ports", "healthcheck"}}
