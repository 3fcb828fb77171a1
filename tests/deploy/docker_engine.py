"""A Docker Engine with Compose, in a network namespace of its own."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.cache import cached
from tests.support.commands import attempt, environment, process, run
from tests.support.network_namespace import Namespace
from tests.support.waiting import poll

HOST = "10.91.0.1"
"""The address of the engine's machine, for its containers and for other machines."""

_PARTS = {
    "containerd": "usr/bin/containerd",
    "containerd-shim-runc-v2": "usr/bin/containerd-shim-runc-v2",
    "docker": "usr/bin/docker",
    "docker-buildx": "usr/libexec/docker/cli-plugins/docker-buildx",
    "docker-compose": "usr/libexec/docker/cli-plugins/docker-compose",
    "docker-init": "usr/bin/tini-static",
    "docker-proxy": "usr/sbin/docker-proxy",
    "dockerd": "usr/sbin/dockerd",
}
_PACKAGES = (
    "mmdebstrap",
    "--quiet",
    "--variant=extract",
    "--include=docker.io,docker-buildx,docker-cli,docker-compose",
    "trixie",
)


def _unpack(folder: Path) -> None:
    root = folder / "root"
    run(*_PACKAGES, root)
    for name, path in _PARTS.items():
        shutil.copy(root / path, folder / name)
    shutil.rmtree(root)


class Cli:
    """The command line of a running engine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        # Without the user's settings and credentials.
        config = folder / "config"
        self.env = environment(DOCKER_HOST=f"unix://{folder / 'socket'}", DOCKER_CONFIG=str(config))
        plugins = config / "cli-plugins"
        plugins.mkdir(parents=True)
        for plugin in ("docker-buildx", "docker-compose"):
            (plugins / plugin).symlink_to(programs / plugin)

    def __call__(self, *arguments: str | Path) -> str:
        """Run `docker …`, and return its output. Raise `AssertionError` if it fails."""
        return run(self.programs / "docker", *arguments, env=self.env)

    def attempt(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `docker …`, and accept any exit code."""
        return attempt(self.programs / "docker", *arguments, env=self.env)

    def compose(self, folder: Path, *arguments: str | Path) -> str:
        """Run `docker compose …` in a folder with a compose.yaml. Raise `AssertionError` if it fails."""
        return run(self.programs / "docker-compose", *arguments, env=self.env, cwd=folder)

    def inspect(self, container: str) -> dict[str, Any]:
        """Return `docker inspect` of a container."""
        (found,) = json.loads(self("inspect", container))
        assert isinstance(found, dict)
        return found

    def health(self, container: str) -> str:
        """Return `starting`, `healthy` or `unhealthy`."""
        return str(self.inspect(container)["State"]["Health"]["Status"])

    def logs(self, container: str) -> list[str]:
        """Return the lines of a container's log."""
        ended = self.attempt("logs", container)
        return (ended.stdout + ended.stderr).splitlines()

    @contextmanager
    def running(self, *arguments: str | Path) -> Iterator[str]:
        """Run a container (`docker run --detach …`) until the block ends, and yield its ID."""
        container = self("run", "--detach", *arguments).strip()
        try:
            yield container
        finally:
            self("rm", "--force", "--volumes", container)


class Docker(Cli):
    """An engine on a machine of its own, which is a network namespace."""

    def __init__(self, programs: Path, folder: Path, machine: Namespace, clients: Namespace) -> None:
        super().__init__(programs, folder)
        self.machine = machine
        """The namespace of the engine and of its containers' networks."""
        self.clients = clients
        """The namespace of another machine, which reaches `HOST`."""


@contextmanager
def engine(folder: Path) -> Iterator[Docker]:
    """Run an engine until the block ends: one namespace for its machine, and one for a machine beside it."""
    with Namespace("docker") as machine, Namespace("client") as clients:
        ends = ("veth0", "netns", machine.name, "type", "veth", "peer", "name", "veth0", "netns", clients.name)
        run("ip", "link", "add", *ends)
        for namespace, address in ((machine, HOST), (clients, "10.91.0.2")):
            run("ip", "-n", namespace.name, "address", "add", f"{address}/24", "dev", "veth0")
            run("ip", "-n", namespace.name, "link", "set", "veth0", "up")
        docker = Docker(_programs(), folder, machine, clients)
        networks = ("--bip=10.90.0.1/24", "--default-address-pool=base=10.92.0.0/16,size=24")
        with _daemon(docker, folder, *networks, within=machine.inside()):
            yield docker


@contextmanager
def builder(folder: Path) -> Iterator[Cli]:
    """Run an engine that can only build, with `--network host`, until the block ends.

    It downloads over the machine's own network, and changes nothing there.
    """
    cli = Cli(_programs(), folder)
    unchanged = [f"--{what}=false" for what in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
    with _daemon(cli, folder, "--bridge=none", *unchanged):
        yield cli


def _programs() -> Path:
    return cached("docker", [*_PACKAGES, *_PARTS], _unpack)


@contextmanager
def _daemon(docker: Cli, folder: Path, *options: str, within: tuple[str | Path, ...] = ()) -> Iterator[None]:
    state = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    command = (*within, docker.programs / "dockerd", f"--host=unix://{folder / 'socket'}", *state, *options)
    env = environment()
    env["PATH"] = f"{docker.programs}:{env['PATH']}"
    log = folder / "log"
    with process(*command, log=log, env=env) as daemon:

        def ready() -> bool:
            assert daemon.poll() is None, log.read_text()
            return docker.attempt("version").returncode == 0

        poll(ready, "an engine that answers")
        yield
        containers = docker("ps", "--all", "--quiet").split()
        if containers:
            docker("rm", "--force", "--volumes", *containers)
    shutil.rmtree(folder)
