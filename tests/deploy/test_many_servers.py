"""docs/many-servers.md, followed to the letter, with twelve addresses of a simulated PBS.

Where the page has the reader edit a file, the test edits it. Scripts stand in for SSH, `proxmox-backup-manager` and
systemd, and intervals are shorter.
"""

import json
import re
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.grafana import ALL, asked, dashboards, panels, put_in, variables
from tests.support.commands import environment, process, run
from tests.support.documented import block
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest, oldest, victoria
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

PAGE = "docs/many-servers.md"
NAMES = [f"{site}{number}" for site in ("zrh", "ber", "vie") for number in (1, 2, 3, 4)]
ADDED = "vie5"
EXPORTER = "10.0.0.11"
JOBS = ("From /sd", "With a list of its own")

_SSH = """\
#!/bin/bash
set -euo pipefail
[[ $1 =~ ^root@pbs-([a-z0-9]+)\\.example\\.com$ ]]
export SERVER=${BASH_REMATCH[1]}
shift
exec "$@"
"""
_MANAGER = """\
#!/bin/bash
echo "$SERVER $*" >>@FOLDER@/manager.log
case "$1 $2" in
"user generate-token") printf 'Result: {\\n  "tokenid": "%s!%s",\\n  "value": "@SECRET@"\\n}\\n' "$3" "$4" ;;
"cert info") printf 'Subject: CN = pbs\\nFingerprint (sha256): @FINGERPRINT@\\n' ;;
esac
"""
_SYSTEMCTL = """\
#!/bin/bash
[[ "$*" == "reload pbs-exporter" ]]
kill -HUP "$(cat @FOLDER@/pid)"
"""


class Reader:
    """Somebody who follows the page. `/etc` is a folder of the test."""

    def __init__(self, namespace: Namespace, pbs: Address, folder: Path) -> None:
        self.namespace = namespace
        self.folder = folder
        self.etc = folder / "etc"
        self._pbs = pbs
        self._port = 9190
        self._bin = folder / "bin"
        self._bin.mkdir()
        (self.etc / "pbs-exporter").mkdir(parents=True)
        values = {"FOLDER": str(folder), "SECRET": pbs.secret, "FINGERPRINT": pbs.fingerprint}
        for name, text in (("ssh", _SSH), ("proxmox-backup-manager", _MANAGER), ("systemctl", _SYSTEMCTL)):
            (self._bin / name).write_text(re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text))
            (self._bin / name).chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        env = environment()
        return env | {"PATH": f"{self._bin}:{Path(sys.executable).parent}:{env['PATH']}"}

    @property
    def settings(self) -> Path:
        return self.etc / "pbs-exporter" / "settings.toml"

    def __call__(self, heading: str, number: int = 1, before: str = "") -> str:
        """Run a block of the page's commands, and return its output."""
        text = self.here(block(f"{PAGE}: {heading} {number}"))
        bash = self.namespace.inside("bash", "-euo", "pipefail", "-c", f"{before}\n{text}")
        return run(*bash, env=self.env, cwd=self.folder)

    def here(self, text: str) -> str:
        """Return a text of the page with the test's folder and the simulated PBS."""
        return self.addressed(text).replace("/etc/pbs-exporter", str(self.etc / "pbs-exporter"))

    def addressed(self, text: str) -> str:
        """Return a text with the addresses and the fingerprint of the simulated PBS."""
        port = self._pbs.endpoint.rpartition(":")[2]
        for number, name in enumerate([*NAMES, ADDED], start=1):
            text = text.replace(f"pbs-{name}.example.com:8007", f"127.0.0.{number}:{port}")
        return re.sub(r"fingerprint = \"b1:.*\"", f'fingerprint = "{self._pbs.fingerprint}"', text)

    def take_port(self) -> int:
        """Return a port that nobody has in the namespace."""
        self._port += 1
        return self._port

    def follows(self) -> None:
        """Make the tokens and the settings."""
        self("Tokens")
        shared = block(f"{PAGE}: Settings of the targets 1", "toml")
        self.settings.write_text(shared.replace("exporter@pbs!prometheus", self._pbs.token_id))
        self("Settings of the targets", before=f"servers='{' '.join(NAMES)}'")
        self.settings.write_text(self.addressed(self.settings.read_text()))

    def runs(self, stack: ExitStack) -> None:
        """Run the exporter, in place of systemd."""
        command = self.namespace.inside("pbs-exporter", "--config", self.settings)
        exporter = stack.enter_context(process(*command, env=self.env, log=self.folder / "exporter.log"))
        (self.folder / "pid").write_text(str(exporter.pid))
        poll(lambda: self.namespace.try_get(f"http://{EXPORTER}:9101/-/ready"), "the exporter")


class Prometheus:
    """A running Prometheus."""

    def __init__(self, namespace: Namespace, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._namespace = namespace

    def has(self, names: Iterable[str]) -> bool:
        """Whether it scrapes these targets and no others, and each PBS has answered everything."""
        complete = "pbs_up == 1 and on (instance) pbs_datastore_readable and on (instance) pbs_version"
        return self.ask(complete).keys() == set(names) == self.ask('up{job="pbs"} == 1').keys()

    def ask(self, query: str) -> dict[str, float]:
        """Return the values of an expression by `instance`, or `site` where that is missing."""
        answer = self._namespace.get(f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}")
        found = json.loads(answer)["data"]["result"]
        names = [row["metric"].get("instance", row["metric"].get("site", "")) for row in found]
        assert len(set(names)) == len(names)
        return {name: float(row["value"][1]) for name, row in zip(names, found, strict=True)}


def configuration(folder: Path, heading: str, change: Callable[[Any], None] = lambda _job: None) -> Path:
    """Write the configuration of the page with short intervals, and rules beside it. `change` is made to the job."""
    shutil.copytree(ROOT / "monitoring" / "rules", folder / "rules", ignore=shutil.ignore_patterns("tests"))
    default = {"scrape_interval": "5s", "scrape_timeout": "5s"}
    text = block(f"{PAGE}: {heading} 1", "yaml")
    content = yaml.safe_load(re.sub(r"(interval|timeout): (1m|30s)", r"\1: 5s", text))
    content["scrape_configs"] = [default | job for job in content["scrape_configs"]]
    change(content["scrape_configs"][0])
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def scraping(stack: ExitStack, reader: Reader, file: Path) -> Prometheus:
    """Run a Prometheus with a configuration."""
    folder, namespace = file.parent, reader.namespace
    port = reader.take_port()
    listen = (f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder}/data")
    command = namespace.inside(newest("prometheus"), f"--config.file={file}", *listen)
    stack.enter_context(process(*command, log=folder / "prometheus.log"))
    poll(lambda: "Ready" in (namespace.try_get(f"http://127.0.0.1:{port}/-/ready") or ""), "Prometheus")
    return Prometheus(namespace, port)


@pytest.fixture
def reader(namespace: Namespace, simulated_pbs: Simulate, tmp_path: Path) -> Iterator[Reader]:
    """Return somebody who has read the page, with a simulated PBS at each address of 127.0.0.0/8."""
    run("ip", "-n", namespace.name, "address", "add", f"{EXPORTER}/32", "dev", "lo")
    with simulated_pbs(namespace, "0.0.0.0") as pbs:  # noqa: S104 - in a network namespace of the test
        yield Reader(namespace, pbs, tmp_path)


def test_page(reader: Reader) -> None:
    """The page leads from tokens to twelve PBS in Prometheus, in both ways, and to a thirteenth by a reload."""
    reader.follows()
    log = (reader.folder / "manager.log").read_text().splitlines()
    for name in NAMES:
        mine = [line.removeprefix(f"{name} ") for line in log if line.startswith(f"{name} ")]
        assert mine[:2] == ["user create exporter@pbs", "user generate-token exporter@pbs prometheus"]
        assert len([line for line in mine if line.startswith("acl update / ")]) == 6
        file = reader.etc / "pbs-exporter" / "tokens" / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().count("\n") == 1
    assert re.findall(r"target +(\S+)", reader("Look")) == [*NAMES, "zrh1", "vie4"]

    with ExitStack() as stack:
        reader.runs(stack)
        looked = reader("Look", 2)
        assert "\npbs_up 1.0\n" in looked
        assert looked.count('"__param_target"') == len(NAMES)
        assert "\npbs_exporter_config_last_reload_successful 1.0\n" in looked

        servers = [scraping(stack, reader, configuration(reader.folder / heading, heading)) for heading in JOBS]
        for server in servers:
            poll(partial(server.has, NAMES), "12 targets", seconds=60)
            assert server.ask("count by (site) (pbs_up)") == {"zrh": 4, "ber": 4, "vie": 4}
            assert server.ask("count by (instance) (pbs_datastore_readable)").keys() == set(NAMES)
            assert server.ask("pbs_exporter_config_last_reload_successful") == {f"{EXPORTER}:9101": 1}
            assert server.ask('count by (instance) ({exported_namespace!=""})') == {}

        for server in servers:
            shows_all(server)

        shutil.copy(reader.etc / "pbs-exporter" / "tokens" / "vie4", reader.etc / "pbs-exporter" / "tokens" / ADDED)
        assert "login       ok, as " in reader("Add and remove a server")
        poll(lambda: servers[0].ask(f'up{{instance="{ADDED}"}}') == {ADDED: 1}, "the new target", seconds=60)

        lifecycle = "\n[exporter]\nlifecycle = true\n"
        reader.settings.write_text(f"{reader.settings.read_text()}{lifecycle}")
        run(*reader.namespace.inside("systemctl", "reload", "pbs-exporter"), env=reader.env)
        post = block(f"{PAGE}: Add and remove a server 2")
        assert "--request POST" in post
        poll(lambda: _posted(reader) == "ok\n", "a reload by a request")


def shows_all(server: Prometheus) -> None:
    """Check the dashboards: twelve PBS to choose from, and a row for each in *Servers*, which has room for them."""
    boards = dashboards()
    names = set(NAMES)

    def has_all(query: str) -> bool:
        return server.ask(query).keys() == names

    for board in boards.values():
        site, instance = variables(board)[:2]
        assert (site.name, instance.name) == ("site", "instance")
        query = put_in(instance.query, {"site": (site, [ALL], [])}, span=3600, step=6, scrape_interval=2)
        # On a busy machine a scrape can be late.
        poll(partial(has_all, asked(query)), "all servers in a variable")

    def ask(uid: str, title: str, chosen: list[str]) -> tuple[Mapping[str, Any], list[dict[str, float]]]:
        (panel,) = [found for found in panels(boards[uid]) if found["title"] == title]
        site, instance = variables(boards[uid])[:2]
        put = {"site": (site, [ALL], []), "instance": (instance, chosen, NAMES)}
        exprs = [put_in(part["expr"], put, span=3600, step=6, scrape_interval=2) for part in panel["targets"]]
        return panel, [server.ask(expr) for expr in exprs]

    poll(
        lambda: [column.keys() for column in ask("pbs-overview", "Servers", [ALL])[1][:2]] == [names] * 2,
        "a row for each server",
    )
    servers, columns = ask("pbs-overview", "Servers", [ALL])
    assert all(column.keys() <= names for column in columns)
    # Grafana has 38 pixels for each unit of height, without a gap of 8. Title and padding take 48, a small row 36.
    assert servers["options"]["cellHeight"] == "sm"
    assert servers["gridPos"]["h"] * 38 - 8 - 48 >= (1 + len(NAMES)) * 36
    _, (memory,) = ask("pbs-host-exporter", "Memory of the exporter", NAMES[:1])
    assert memory.keys() == {f"{EXPORTER}:9101"}


def test_shards(reader: Reader) -> None:
    """The page's two shards have all targets between them, and each target is in one."""
    reader.follows()
    heading = "Several Prometheus, agents"

    def of_the_second(job: Any) -> None:
        (regex,) = [rule for rule in job["relabel_configs"] if rule["action"] == "keep"]
        regex["regex"] = "1"

    with ExitStack() as stack:
        reader.runs(stack)
        one = scraping(stack, reader, configuration(reader.folder / "one", heading))
        two = scraping(stack, reader, configuration(reader.folder / "two", heading, of_the_second))
        poll(lambda: one.ask("up").keys() | two.ask("up").keys() == set(NAMES), "all targets", seconds=60)
        assert one.ask("up").keys() & two.ask("up").keys() == set()
        assert one.ask("up")
        assert two.ask("up")


def test_agent(reader: Reader) -> None:
    """The agent vmagent reads `/sd`, with what the page says of its configuration, and writes to VictoriaMetrics."""
    reader.follows()
    store, agent = reader.take_port(), reader.take_port()
    job = yaml.safe_load(block(f"{PAGE}: From /sd 1", "yaml"))["scrape_configs"][0]
    job |= {"scrape_interval": "5s", "scrape_timeout": "5s"}
    del job["http_sd_configs"][0]["refresh_interval"]
    file = reader.folder / "vmagent.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    listen = "-httpListenAddr=127.0.0.1:{}".format
    programs = (
        ("victoria-metrics", listen(store), f"-storageDataPath={reader.folder}/vm"),
        (
            "vmagent",
            listen(agent),
            f"-promscrape.config={file}",
            "-promscrape.httpSDCheckInterval=5s",
            f"-remoteWrite.url=http://127.0.0.1:{store}/api/v1/write",
            f"-remoteWrite.tmpDataPath={reader.folder}/vmagent",
        ),
    )
    with ExitStack() as stack:
        reader.runs(stack)
        for program, *options in programs:
            command = reader.namespace.inside(victoria(program), *options)
            stack.enter_context(process(*command, log=reader.folder / f"{program}.log"))
            port = options[0].rpartition(":")[2]
            poll(partial(reader.namespace.try_get, f"http://127.0.0.1:{port}/health"), program)
        server = Prometheus(reader.namespace, store)
        poll(lambda: server.ask("pbs_up == 1").keys() == set(NAMES), "12 targets", seconds=90)
        assert server.ask('count by (instance) ({exported_namespace!=""})') == {}


def _posted(reader: Reader) -> str:
    try:
        return reader("Add and remove a server", 2)
    except AssertionError:
        return ""


@pytest.mark.parametrize("programs", [oldest, newest], ids=["oldest", "newest"])
@pytest.mark.parametrize("heading", JOBS)
def test_jobs_are_valid(heading: str, programs: Callable[[str], Path], tmp_path: Path) -> None:
    """The page's jobs are valid in the oldest and the newest supported Prometheus."""
    file = configuration(tmp_path, heading)
    file.write_text(block(f"{PAGE}: {heading} 1", "yaml"))
    assert "SUCCESS: 2 rule files found" in run(programs("promtool"), "check", "config", file)


def test_operator_says_the_same() -> None:
    """The ScrapeConfig is the job with `http_sd_configs`, in the operator's spelling."""
    job = yaml.safe_load(block(f"{PAGE}: From /sd 1", "yaml"))["scrape_configs"][0]
    spec = yaml.safe_load(block(f"{PAGE}: With the Prometheus Operator 1", "yaml"))["spec"]

    def snake(node: object) -> object:
        if isinstance(node, Mapping):
            names = {key: re.sub(r"(?<=[a-z])([A-Z]+)", lambda found: f"_{found[1].lower()}", key) for key in node}
            return {names[key].replace("httpsd", "http_sd"): snake(value) for key, value in node.items()}
        return [snake(item) for item in node] if isinstance(node, list) else node

    found = snake(spec)
    assert isinstance(found, dict)
    assert {key.replace("http_sdconfigs", "http_sd_configs"): value for key, value in found.items()} == job


def test_once(reader: Reader) -> None:
    """The loop in docs/cli.md writes a file for each target, and its series have the target's label."""
    reader.follows()
    folder = "/var/lib/prometheus/node-exporter"
    text = (
        block("docs/cli.md: once 2").replace(folder, str(reader.folder)).replace("settings.toml", str(reader.settings))
    )
    assert run(*reader.namespace.inside("bash", "-euo", "pipefail", "-c", text), env=reader.env) == ""
    for name in ("zrh1", "vie4"):
        lines = (reader.folder / f"pbs-{name}.prom").read_text().splitlines()
        assert f'pbs_up{{pbs="{name}"}} 1.0' in lines
        assert [line for line in lines if line[0] != "#" and f'pbs="{name}"' not in line] == []
