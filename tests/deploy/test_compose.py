import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_stack import PROMETHEUS as SERVER
from tests.deploy.compose_stack import Checkout, filled_in
from tests.deploy.docker_engine import HOST, Docker
from tests.support.commands import attempt, run, tool
from tests.support.documented import block
from tests.support.paths import ROOT
from tests.support.simulated_pbs import Address
from tests.support.waiting import poll

ALONE = ROOT / "compose.yaml"
STACK = ROOT / "deploy" / "compose"
TARGETS = STACK / "targets.yaml"
FILES = (ALONE, STACK / "compose.yaml", TARGETS)
PROMETHEUS = STACK / "prometheus" / "prometheus.yml"
STACK_RULES = ROOT / "monitoring" / "rules"
YAML = [*FILES, PROMETHEUS, *STACK.glob("grafana/**/*.yml")]
YAML_RULES = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}"
PAGE = f"http://{HOST}:9101/metrics"


class Compose:
    """Compose stacks on an engine that has the project's image."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        self._up: list[tuple[Path, str]] = []

    def up(self, folder: Path, *arguments: str, profile: str = "none") -> None:
        """Start the services named in `arguments`, or all of them."""
        self.takes_down(folder, profile)
        self.docker.compose(folder, "--profile", profile, "up", "--detach", "--no-build", *arguments)

    def inspect(self, folder: Path, service: str = "pbs-exporter") -> dict[str, Any]:
        """Return `docker inspect` of the only container of a service."""
        (container,) = self.docker.compose(folder, "ps", "--quiet", service).split()
        return self.docker.inspect(container)

    def takes_down(self, folder: Path, profile: str = "none") -> None:
        """Register a stack that `down` removes, whether or not it runs yet."""
        self._up.append((folder, profile))

    def down(self) -> None:
        """Remove all registered stacks."""
        for folder, profile in self._up:
            self.docker.compose(folder, "--profile", profile, "down", "--volumes", "--timeout", "5")


def configuration(docker: Docker, folder: Path) -> dict[str, Any]:
    """Return the configuration that Compose reads in a folder."""
    found = json.loads(docker.compose(folder, "config", "--format", "json"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def compose(docker: Docker) -> Iterator[Compose]:
    """Return a `Compose` that starts stacks, and remove them after the test."""
    made = Compose(docker)
    yield made
    made.down()


def check_prometheus(file: Path) -> str:
    """Return promtool's output for a valid Prometheus configuration."""
    return run("promtool", "check", "config", file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_schema(file: Path, tmp_path: Path) -> None:
    """The file follows the Compose specification, whose schema refuses unknown keys."""
    check = (tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec")
    run(*check, file)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(file.read_text().replace("read_only:", "readonly:"))
    assert attempt(*check, wrong).returncode == 1


@pytest.mark.parametrize("file", YAML, ids=lambda file: str(file.relative_to(ROOT)))
def test_yaml_style(file: Path) -> None:
    """Yamllint finds nothing in the file."""
    assert run(tool("yamllint"), "--strict", "-d", YAML_RULES, file) == ""


def test_alone(compose: Compose, checkout: Checkout, pbs: Address) -> None:
    """compose.yaml with a filled-in .env.example becomes healthy, and another machine can scrape its published port.

    The commands are the README's.
    """
    compose.takes_down(checkout.folder)
    checkout(block("README.md: Compose 1"))
    (checkout.folder / ".env").write_text(filled_in(pbs.variables))
    checkout(block("README.md: Compose 2"))
    assert "\npbs_up 1.0\n" in compose.docker.clients.get(PAGE)
    known = compose.inspect(checkout.folder)
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
        "Timeout": 10 * seconds,
        "StartPeriod": 5 * seconds,
        "Retries": 3,
    }


def test_alone_is_checked(compose: Compose, checkout: Checkout, pbs: Address) -> None:
    """The documentation's commands for compose.yaml end with a check that finds no problem."""
    compose.takes_down(checkout.folder)
    copy, commands = block("docs/deployment.md: Compose 1").split("\n", 1)
    checkout(copy)
    (checkout.folder / ".env").write_text(filled_in(pbs.variables))
    assert "\nlogin       ok, as " in checkout(commands)


def test_alone_with_the_secret_in_a_file(compose: Compose, pbs: Address, tmp_path: Path) -> None:
    """The commented-out alternative in compose.yaml works: the secret comes from a file, and is in no variable."""
    text, count = re.subn(r"^( *)# (?=(  )*[a-zP_-]+[:A-Z_]*:|  - )", r"\1", ALONE.read_text(), flags=re.MULTILINE)
    assert count == 7
    (tmp_path / "compose.yaml").write_text(text)
    settings = {name: value for name, value in pbs.variables.items() if not name.endswith("TOKEN_SECRET")}
    (tmp_path / ".env").write_text(filled_in(settings))
    (tmp_path / "pbs_token").write_text(pbs.secret)
    compose.up(tmp_path)
    page = poll(lambda: compose.docker.clients.try_get(PAGE), "a page")
    assert "\npbs_up 1.0\n" in page
    assert pbs.secret not in json.dumps(compose.inspect(tmp_path))


def test_no_name_is_fixed() -> None:
    """No container has a fixed name: projects with other names can run beside each other."""
    services = [service for file in FILES for service in yaml.safe_load(file.read_text())["services"].values()]
    assert len(services) > 5
    assert [service for service in services if "container_name" in service] == []


def test_targets(compose: Compose, checkout: Checkout, pbs: Address, tmp_path: Path) -> None:
    """The Compose file for many PBS serves each target, with secrets in files alone, and reads changes at SIGHUP."""
    folder, file = tmp_path / "settings", checkout.folder / "deploy" / "compose" / "targets.yaml"
    (folder / "tokens").mkdir(parents=True)
    settings = folder / "settings.toml"
    address = f'endpoint = "{pbs.endpoint}"\nfingerprint = "{pbs.fingerprint}"\n'

    def add(name: str) -> None:
        token = folder / "tokens" / name
        token.write_text(pbs.secret)
        token.chmod(0o600)
        with settings.open("a") as text:
            text.write(f'[targets.{name}]\n{address}token_secret_file = "/etc/pbs-exporter/tokens/{name}"\n')

    def run_block(name: str) -> str:
        commands = block(name).replace("/etc/pbs-exporter", str(folder))
        return checkout(f"export PBS_EXPORTER_FOLDER={folder}\n{commands}")

    def page(name: str) -> str:
        return compose.docker.clients.get(f"http://{HOST}:9101/probe?target={name}")

    settings.write_text(f'[pbs]\ntoken_id = "{pbs.token_id}"\n')
    for name in ("zrh1", "ber1"):
        add(name)
    try:
        assert run_block("docs/many-servers.md: Containers 1").count("\nlogin       ok, as ") == 2
        for name in ("zrh1", "ber1"):
            assert "\npbs_up 1.0\n" in page(name)
        (container,) = compose.docker("ps", "--quiet", "--filter", "publish=9101").split()
        known = compose.docker.inspect(container)
        assert known["State"]["Health"]["Status"] == "healthy"
        assert pbs.secret not in json.dumps(known)
        add("vie1")
        # As a new folder would have, for the container's user.
        shutil.chown(folder / "tokens" / "vie1", 65532)
        run_block("docs/many-servers.md: Containers 2")
        poll(lambda: "\npbs_up 1.0\n" in page("vie1"), "the new target")
    finally:
        checkout(f"docker compose --file {file} down --timeout 5")


def test_prometheus_configuration() -> None:
    """Promtool accepts the stack's Prometheus configuration, and the scrape timeout doesn't exceed the interval."""
    assert "SUCCESS" in check_prometheus(PROMETHEUS)
    (job,) = yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    seconds = [int(job[key].removesuffix("s")) for key in ("scrape_timeout", "scrape_interval")]
    assert seconds == sorted(seconds)


def test_grafana_is_provisioned(docker: Docker) -> None:
    """Grafana's data source is the stack's Prometheus, and it reads the dashboards from the mounted folder."""
    services = configuration(docker, STACK)["services"]
    mounts = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"]}
    provisioning = mounts["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in services
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "pbs.yml").read_text())["providers"]
    assert mounts[provider["options"]["path"]] == ROOT / "monitoring" / "dashboards"
    assert list(mounts[provider["options"]["path"]].glob("*.json"))


def test_stack_asks_the_pbs_of_its_env(docker: Docker, pbs: Address, tmp_path: Path) -> None:
    """The stack's exporter uses the PBS in .env, or the simulated one without a .env."""
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


def test_prometheus_has_the_rules(docker: Docker) -> None:
    """Prometheus loads the project's rules and the user's, and sends alerts to Alertmanager."""
    services = configuration(docker, STACK)["services"]
    mounts = {mount["target"]: Path(mount["source"]) for mount in services["prometheus"]["volumes"]}
    prometheus = yaml.safe_load(PROMETHEUS.read_text())
    assert mounts["/etc/prometheus/prometheus.yml"] == PROMETHEUS
    folders = [mounts[f"/etc/prometheus/{Path(pattern).parent}"] for pattern in prometheus["rule_files"]]
    assert folders == [STACK_RULES, STACK / "prometheus" / "rules-local"]
    (alertmanagers,) = prometheus["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert "alertmanager" in services


def test_alertmanager_has_the_file_of_the_env(docker: Docker, checkout: Checkout) -> None:
    """Alertmanager reads the project's file, or the one that ALERTMANAGER_FILE names in the stack's .env."""
    folder = checkout.folder / "deploy" / "compose"

    def file() -> Path:
        volumes = configuration(docker, folder)["services"]["alertmanager"]["volumes"]
        (source,) = [mount["source"] for mount in volumes if mount["target"] == "/etc/alertmanager/alertmanager.yml"]
        return Path(source)

    assert file() == checkout.folder / "monitoring" / "alertmanager.yml"
    assert file().is_file()
    (folder / ".env").write_text("ALERTMANAGER_FILE=./alertmanager.yml\n")
    assert file() == folder / "alertmanager.yml"


def test_demo(compose: Compose, checkout: Checkout) -> None:
    """The README's command shows metrics without a PBS: Prometheus scrapes the exporter, and no rule fails.

    Images of Debian's Prometheus and Alertmanager stand in for the official ones. Grafana is left out.
    """
    compose.takes_down(checkout.folder / "deploy" / "compose", profile="demo")
    checkout(block("README.md: Try it 1"))

    checkout.wait()
    poll(lambda: checkout.value("up") == 1, "a scrape that works", seconds=60, pause=1)
    assert checkout.value('up{job="pbs",instance="exporter:9101"}') == 1
    assert checkout.value("pbs_up") == 1
    assert (checkout.value("count(pbs_snapshot_count)") or 0) > 5
    assert checkout.value("time()-max(pbs_snapshot_last_timestamp_seconds)<3600") is not None

    files = [yaml.safe_load(file.read_text()) for file in STACK_RULES.glob("*.yml")]
    wanted = [
        rule.get("record") or rule["alert"] for file in files for group in file["groups"] for rule in group["rules"]
    ]
    assert len(wanted) > 5
    assert sorted(rule["name"] for rule in checkout.rules()) == sorted(wanted)
    # Rules with an interval of five minutes may not have been evaluated yet.
    assert {rule["health"] for rule in checkout.rules()} <= {"ok", "unknown"}
    assert "ok" in {rule["health"] for rule in checkout.rules()}

    (alertmanager,) = checkout.ask(f"{SERVER}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert alertmanager["url"] == "http://alertmanager:9093/api/v2/alerts"


def test_two_hosts(tmp_path: Path) -> None:
    """The two files that the documentation shows for two hosts are valid, and match each other and compose.yaml."""
    name = "docs/deployment.md: Two LXC containers {}"
    compose, scraped = (block(name.format(number), "yaml") for number in (1, 2))
    (tmp_path / "compose.yaml").write_text(compose)
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml")
    (tmp_path / "prometheus.yml").write_text(scraped)
    assert "SUCCESS" in check_prometheus(tmp_path / "prometheus.yml")
    (service,) = yaml.safe_load(compose)["services"].values()
    (target,) = yaml.safe_load(scraped)["scrape_configs"][0]["static_configs"][0]["targets"]
    assert service.pop("ports") == [f"{target}:9101"]
    (alone,) = yaml.safe_load(ALONE.read_text())["services"].values()
    # The health check of the image is the same.
    assert service == {key: value for key, value in alone.items() if key not in {"ports", "healthcheck"}}
