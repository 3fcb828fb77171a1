"""A real Docker Engine with Compose, in a network of its own."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.machine import Namespace, attempt, cached, environment, eventually, process, run

HOST = "10.91.0.1"
"""The engine's machine, as others see it and as its containers do."""

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
_UNPACK = (
    "mmdebstrap",
    "--quiet",
    "--variant=extract",
    "--include=docker.io,docker-buildx,docker-cli,docker-compose",
    "trixie",
)


def _make(folder: Path) -> None:
    root = folder / "root"
    run(*_UNPACK, root)
    for name, path in _PARTS.items():
        shutil.copy(root / path, folder / name)
    shutil.rmtree(root)


class Cli:
    """The command line of a running engine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        # No settings and no credentials of the user's.
        config = folder / "config"
        self.env = environment(DOCKER_HOST=f"unix://{folder / 'socket'}", DOCKER_CONFIG=str(config))
        plugins = config / "cli-plugins"
        plugins.mkdir(parents=True)
        for plugin in ("docker-buildx", "docker-compose"):
            (plugins / plugin).symlink_to(programs / plugin)

    def __call__(self, *arguments: str | Path) -> str:
        """Run `docker …`, which must succeed."""
        return run(self.programs / "docker", *arguments, env=self.env)

    def attempt(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `docker …`, whatever comes of it."""
        return attempt(self.programs / "docker", *arguments, env=self.env)

    def compose(self, folder: Path, *arguments: str | Path) -> str:
        """Run `docker compose …` in a folder with a compose.yaml; it must succeed."""
        return run(self.programs / "docker-compose", *arguments, env=self.env, cwd=folder)

    def inspect(self, container: str) -> dict[str, Any]:
        """Give what the engine knows of a container."""
        (found,) = json.loads(self("inspect", container))
        assert isinstance(found, dict)
        return found

    def health(self, container: str) -> str:
        """Give `starting`, `healthy` or `unhealthy`."""
        return str(self.inspect(container)["State"]["Health"]["Status"])

    def logs(self, container: str) -> list[str]:
        """Give the lines of a container's log."""
        ended = self.attempt("logs", container)
        return (ended.stdout + ended.stderr).splitlines()

    @contextmanager
    def running(self, *arguments: str | Path) -> Iterator[str]:
        """Run a container (`docker run --detach …`) as long as the block lasts, and give its ID."""
        container = self("run", "--detach", *arguments).strip()
        try:
            yield container
        finally:
            self("rm", "--force", "--volumes", container)


class Docker(Cli):
    """An engine on a machine of its own: a network."""

    def __init__(self, programs: Path, folder: Path, machine: Namespace, clients: Namespace) -> None:
        super().__init__(programs, folder)
        self.machine = machine
        """Where the engine is, and the networks of its containers."""
        self.clients = clients
        """Where those are who are neither the engine nor its containers. They reach `HOST`."""


@contextmanager
def engine(folder: Path) -> Iterator[Docker]:
    """Run an engine as long as the block lasts: a machine in a network of its own, with another one beside it."""
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
    """Run an engine that can only build, with `--network host`, as long as the block lasts.

    What it builds from comes over the machine's own network, in which it changes nothing.
    """
    cli = Cli(_programs(), folder)
    nothing = [f"--{what}=false" for what in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
    with _daemon(cli, folder, "--bridge=none", *nothing):
        yield cli


def _programs() -> Path:
    return cached("docker", [*_UNPACK, *_PARTS], _make)


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

        eventually(ready, "an engine that answers")
        yield
        containers = docker("ps", "--all", "--quiet").split()
        if containers:
            docker("rm", "--force", "--volumes", *containers)
    shutil.rmtree(folder)
