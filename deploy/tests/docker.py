"""A real Docker Engine with Compose, in a network of its own."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import Namespace, attempt, cached, environment, eventually, process, run

HOST = "10.91.0.1"
"""The engine's machine, as others see it and as its containers do."""

_PARTS = {
    "containerd": "usr/bin/containerd",
    "containerd-shim-runc-v2": "usr/bin/containerd-shim-runc-v2",
    "docker": "usr/bin/docker",
    "docker-compose": "usr/libexec/docker/cli-plugins/docker-compose",
    "docker-init": "usr/bin/tini-static",
    "docker-proxy": "usr/sbin/docker-proxy",
    "dockerd": "usr/sbin/dockerd",
}
_UNPACK = ("mmdebstrap", "--quiet", "--variant=extract", "--include=docker.io,docker-cli,docker-compose", "trixie")


def _make(folder: Path) -> None:
    root = folder / "root"
    run(*_UNPACK, root)
    for name, path in _PARTS.items():
        shutil.copy(root / path, folder / name)
    shutil.rmtree(root)


class Docker:
    """The command line of a running engine."""

    def __init__(self, programs: Path, socket: Path, machine: Namespace, clients: Namespace) -> None:
        self.programs = programs
        self.machine = machine
        """Where the engine is, and the networks of its containers."""
        self.clients = clients
        """Where those are who are neither the engine nor its containers. They reach `HOST`."""
        # No settings and no credentials of the user's.
        self.env = environment(DOCKER_HOST=f"unix://{socket}", DOCKER_CONFIG=str(socket.parent / "config"))

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


@contextmanager
def engine(folder: Path) -> Iterator[Docker]:
    """Run an engine as long as the block lasts: a machine in a network of its own, with another one beside it."""
    programs = cached("docker", [*_UNPACK, *_PARTS], _make)
    socket = folder / "socket"
    state = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    networks = ["--bip=10.90.0.1/24", "--default-address-pool=base=10.92.0.0/16,size=24"]
    command: tuple[str | Path, ...] = (programs / "dockerd", f"--host=unix://{socket}", *state, *networks)
    env = environment()
    env["PATH"] = f"{programs}:{env['PATH']}"
    log = folder / "log"
    with Namespace("docker") as machine, Namespace("client") as clients:
        ends = ("veth0", "netns", machine.name, "type", "veth", "peer", "name", "veth0", "netns", clients.name)
        run("ip", "link", "add", *ends)
        for namespace, address in ((machine, HOST), (clients, "10.91.0.2")):
            run("ip", "-n", namespace.name, "address", "add", f"{address}/24", "dev", "veth0")
            run("ip", "-n", namespace.name, "link", "set", "veth0", "up")
        with process(*machine.inside(*command), log=log, env=env) as daemon:
            docker = Docker(programs, socket, machine, clients)

            def ready() -> bool:
                assert daemon.poll() is None, log.read_text()
                return docker.attempt("version").returncode == 0

            eventually(ready, "an engine that answers")
            yield docker
            containers = docker("ps", "--all", "--quiet").split()
            if containers:
                docker("rm", "--force", "--volumes", *containers)
    shutil.rmtree(folder)
