"""The Deployment of the kustomization and of the chart, run by podman.

podman reads Kubernetes objects. It honours the security context, limits, environment and volumes. It ignores accounts,
network policies, probes on named ports and Secrets.
"""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.manifests import KUBERNETES, Object, Objects, kustomize, own, render
from tests.deploy.podman import Podman
from tests.support.commands import run
from tests.support.documented import block
from tests.support.network_namespace import Namespace
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

GATEWAY = "10.89.0.1"
"""The bridge of podman's first network. Inside the pod, it is the address of the outside."""
SERVICE_ADDRESS = "10.96.12.34"
SECRET_KEY = "token_secret"


def kustomized(pbs: Address, image: str, folder: Path) -> Objects:
    """Return the objects that kustomize renders for this PBS and image."""
    text = (KUBERNETES / "base" / "settings.toml").read_text(encoding="utf-8")
    example = tomllib.loads(text)["pbs"]
    text = text.replace(example["endpoint"], pbs.endpoint).replace(example["token_id"], pbs.token_id)
    text = text.replace("[pbs]\n", f'[pbs]\nfingerprint = "{pbs.fingerprint}"\n')
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    name, _, tag = image.rpartition(":")
    return kustomize(
        own(
            folder,
            images=[{"name": "pbs-exporter", "newName": name, "newTag": tag}],
            configMapGenerator=[{"name": "pbs-exporter", "behavior": "merge", "files": ["settings.toml"]}],
        )
    )


def charted(pbs: Address, image: str, folder: Path, *, reloader: bool = False) -> Objects:
    """Return the objects that Helm renders for this PBS and image."""
    assert folder.is_dir()
    name, _, tag = image.rpartition(":")
    target = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, "fingerprint": pbs.fingerprint}
    port = int(pbs.endpoint.rpartition(":")[2])
    return render(
        {
            "image": {"repository": name, "tag": tag},
            "existingSecret": "pbs-exporter",
            "settings": {"pbs": target},
            "networkPolicy": {"egressPorts": [port]},
            "reloader": {"enabled": reloader},
        }
    )


def variables(service: Object) -> dict[str, str]:
    """Return the environment variables that Kubernetes sets in each container for a Service of its namespace."""
    name = service["metadata"]["name"].upper().replace("-", "_")
    (port,) = service["spec"]["ports"]
    number, protocol = str(port["port"]), port["protocol"]
    url = f"{protocol.lower()}://{SERVICE_ADDRESS}:{number}"
    of_port = f"{name}_PORT_{number}_{protocol}"
    return {
        f"{name}_SERVICE_HOST": SERVICE_ADDRESS,
        f"{name}_SERVICE_PORT": number,
        f"{name}_SERVICE_PORT_{port['name'].upper()}": number,
        f"{name}_PORT": url,
        of_port: url,
        f"{of_port}_PROTO": protocol.lower(),
        f"{of_port}_PORT": number,
        f"{of_port}_ADDR": SERVICE_ADDRESS,
    }


def for_podman(objects: Objects, pbs: Address, folder: Path) -> str:
    """Return the objects for podman. Only this function changes what a cluster would get."""
    deployment = objects["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        # podman 4.3 probes port 0 if the port has a name.
        del container[probe]
    # podman 4.3 neither decodes a Secret's data nor sets its mode, so it gets a folder as a kubelet makes it.
    volume = pod["volumes"][1]
    secret = volume.pop("secret")
    volume["hostPath"] = {"path": str(folder / "secret"), "type": "Directory"}
    (folder / "secret").mkdir()
    file = folder / "secret" / SECRET_KEY
    file.write_text(pbs.secret)
    os.chown(file, 0, pod["securityContext"]["fsGroup"])
    file.chmod(secret["defaultMode"])
    # As if enableServiceLinks were on.
    container["env"] += [{"name": name, "value": value} for name, value in variables(objects["Service"]).items()]
    return str(yaml.safe_dump_all([objects["ConfigMap"], deployment]))


class Pod:
    """A pod that podman runs in a network namespace."""

    def __init__(self, podman: Podman, namespace: Namespace, container: str) -> None:
        self.container = container
        self._podman = podman
        self._namespace = namespace
        known = podman.inspect(container)
        self.pid = int(known["State"]["Pid"])
        self.memory_limit = known["HostConfig"]["Memory"]
        (self.address,) = [
            found["local"]
            for link in json.loads(run("nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-json", "-4", "address"))
            for found in link["addr_info"]
            if found["scope"] == "global"
        ]

    @property
    def ready(self) -> bool:
        """Whether it answers. Raise `AssertionError` if it has ended."""
        known = self._podman.inspect(self.container)["State"]
        assert known["Running"], self.log()
        return self._namespace.try_get(f"http://{self.address}:9101/health") is not None

    def get(self, path: str) -> str:
        """Return a response of the exporter to a request from outside the pod."""
        return self._namespace.get(f"http://{self.address}:9101{path}")

    def status(self) -> dict[str, str]:
        """Return /proc/PID/status of the exporter's process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def write(self, path: str) -> str:
        """Try to write a file in the container, and return the error output."""
        code = f"open({path!r}, 'w')"
        return self._podman.attempt("exec", self.container, "python3", "-c", code).stderr

    def log(self) -> str:
        """Return the exporter's log."""
        ended = self._podman.attempt("logs", self.container)
        return ended.stdout + ended.stderr


@contextmanager
def running(objects: str, podman: Podman, namespace: Namespace) -> Iterator[Pod]:
    """Run a pod until the block ends."""
    # The last lines of its output are the containers' IDs; the names depend on podman's version.
    *_, deployment = yaml.safe_load_all(objects)
    number = len(deployment["spec"]["template"]["spec"]["containers"])
    played = run(*namespace.inside("podman", "kube", "play", "-"), env=podman.env, stdin=objects).split()
    container = played[-number]
    try:
        pod = Pod(podman, namespace, container)
        poll(lambda: pod.ready, "/health of the pod")
        yield pod
    finally:
        # podman removes the network, which exists only in the namespace.
        run(*namespace.inside("podman", "kube", "down", "-"), env=podman.env, stdin=objects)
        run("podman", "volume", "rm", "--all", "--force", env=podman.env)


@pytest.fixture(params=["kustomize", "helm", "helm with the reloader"])
def pod(  # noqa: PLR0917 - pytest passes them by name
    request: pytest.FixtureRequest,
    podman: Podman,
    image: str,
    namespace: Namespace,
    simulated_pbs: Simulate,
    tmp_path: Path,
) -> Iterator[Pod]:
    """Run the pod, rendered by kustomize or Helm, against a simulated PBS."""
    makers: dict[str, Callable[[Address, str, Path], Objects]] = {
        "kustomize": kustomized,
        "helm": charted,
        "helm with the reloader": partial(charted, reloader=True),
    }
    make = makers[request.param]
    with simulated_pbs(namespace, "0.0.0.0") as everywhere:  # noqa: S104 - in a network namespace of the test
        endpoint = f"https://{GATEWAY}:{everywhere.endpoint.rpartition(':')[2]}"
        pbs = Address(endpoint, everywhere.token_id, everywhere.secret, everywhere.fingerprint)
        with running(for_podman(make(pbs, image, tmp_path), pbs, tmp_path), podman, namespace) as made:
            yield made


def test_pod_serves(pod: Pod) -> None:
    """The pod serves PBS's metrics to a client outside it.

    It isn't root, can't write anywhere, has no capability and can't gain one, and its memory is limited.
    The Service's variables are in its environment, and cause no line in the log.
    """
    page = {family.name: family.samples for family in text_string_to_metric_families(pod.get("/metrics"))}
    assert [sample.value for sample in page["pbs_up"]] == [1], pod.log()
    assert len(page["pbs_snapshot_count"]) > 5

    environment = Path(f"/proc/{pod.pid}/environ").read_text().split("\0")
    assert f"PBS_EXPORTER_PORT=tcp://{SERVICE_ADDRESS}:9101" in environment
    assert len([entry for entry in environment if SERVICE_ADDRESS in entry]) == 4
    assert "PBS_EXPORTER_SERVICE_PORT=9101" in environment
    assert [line for line in pod.log().splitlines() if "PBS_EXPORTER_" in line] == []
    # Later warnings are about the PBS, which has a broken datastore.
    assert "level=warn" not in pod.log().partition("msg=started")[0]

    status = pod.status()
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert pod.memory_limit == 256 * 1024**2
    for path in ("/file", "/opt/file", "/etc/pbs-exporter/file", "/run/secrets/pbs-exporter/file"):
        assert "Read-only file system" in pod.write(path), path


def test_pod_reads_changed_settings(pod: Pod, podman: Podman, request: pytest.FixtureRequest) -> None:
    """Changed settings count without a new container: at SIGHUP as documented, or by the chart's reloader."""
    (settings,) = [
        Path(mount["Source"]) / "settings.toml"
        for mount in podman.inspect(pod.container)["Mounts"]
        if mount["Destination"] == "/etc/pbs-exporter"
    ]
    own = re.sub(r"\[(?!pbs).*", "", settings.read_text().partition("[exporter]")[0])
    new = settings.with_name("settings.toml.new")
    new.write_text(f"{settings.read_text()}\n{own.replace('[pbs]', '[targets.one]')}")
    new.chmod(0o644)
    new.replace(settings)
    if "reloader" not in request.node.callspec.id:
        commands = block("docs/deployment.md: Two exporters in a namespace 1").splitlines()[0]
        podman("exec", pod.container, *shlex.split(commands.partition(" -- ")[2]))
    poll(lambda: "\npbs_up 1" in pod.get("/probe?target=one"), "the target", seconds=60)
    assert pod.pid == podman.inspect(pod.container)["State"]["Pid"]


def test_pod_ends(pod: Pod, podman: Podman) -> None:
    """The container exits with 0 after SIGTERM, within its grace period."""
    podman("stop", "--time", "10", pod.container)
    assert podman.inspect(pod.container)["State"]["ExitCode"] == 0


def test_variables_of_the_service() -> None:
    """The injected variables are those that Kubernetes documents for this Service's name and port."""
    assert variables(kustomize(KUBERNETES / "base")["Service"]) == {
        "PBS_EXPORTER_SERVICE_HOST": SERVICE_ADDRESS,
        "PBS_EXPORTER_SERVICE_PORT": "9101",
        "PBS_EXPORTER_SERVICE_PORT_HTTP": "9101",
        "PBS_EXPORTER_PORT": f"tcp://{SERVICE_ADDRESS}:9101",
        "PBS_EXPORTER_PORT_9101_TCP": f"tcp://{SERVICE_ADDRESS}:9101",
        "PBS_EXPORTER_PORT_9101_TCP_PROTO": "tcp",
        "PBS_EXPORTER_PORT_9101_TCP_PORT": "9101",
        "PBS_EXPORTER_PORT_9101_TCP_ADDR": SERVICE_ADDRESS,
    }
