"""A Debian whose PID 1 is systemd, in a container."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.podman import Podman
from tests.support.cache import cached
from tests.support.commands import run
from tests.support.network_namespace import Namespace
from tests.support.waiting import poll

UNIT = "pbs-exporter.service"

# systemd 257 boots on a version 1 of control groups only if it is told to, and reads that where a kernel's would be.
_INIT = "mount --make-rshared / && exec /sbin/init SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


def bootstrap(suite: str) -> tuple[str, ...]:
    """Return the command that makes the archive of a Debian's files, but for the archive's name."""
    return (
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--include=ca-certificates,procps,python3,python3-venv,systemd,systemd-sysv",
        # These units are of no use in a container.
        "--customize-hook=chroot $1 systemctl mask getty.target systemd-logind.service systemd-networkd.service",
        suite,
    )


def image(podman: Podman, suite: str) -> str:
    """Import a Debian that can be booted, and return the image's name."""
    command = bootstrap(suite)
    name = "booted" if suite == "bookworm" else f"booted-{suite}"
    folder = cached(name, command, lambda folder: _make(command, folder / "booted.tar"))
    podman("import", folder / "booted.tar", f"localhost/{name}:test")
    return f"localhost/{name}:test"


def _make(command: tuple[str, ...], tar: Path) -> None:
    run(*command, tar)


class Booted:
    """A container whose PID 1 is systemd."""

    def __init__(self, podman: Podman, container: str) -> None:
        self.podman = podman
        self.container = container

    def __call__(self, *command: str, stdin: str | None = None) -> str:
        """Run a command in the container, and return its output. Raise `AssertionError` if it fails."""
        return self.podman("exec", "--interactive", self.container, *command, stdin=stdin)

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, and accept any exit code."""
        return self.podman.attempt("exec", self.container, *command)

    def script(self, lines: str, stdin: str = "") -> str:
        """Run lines of shell in the container's checkout."""
        return self("bash", "-euo", "pipefail", "-c", f"cd /checkout\n{lines}", stdin=stdin)

    def properties(self, *names: str) -> dict[str, str]:
        """Return properties of the unit."""
        shown = self("systemctl", "show", UNIT, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def main_pid(self) -> int:
        """Return the ID of the unit's process, or 0 if it has none."""
        return int(self.properties("MainPID")["MainPID"])

    def is_up(self) -> bool:
        """Whether it has booted. "degraded" counts, because some units can't run in a container."""
        return self.attempt("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}


@contextmanager
def booted_image(
    podman: Podman, name: str, network: Namespace, checkout: Path, volumes: Mapping[Path, str]
) -> Iterator[Booted]:
    """Boot an image that has a folder as its checkout, and others where it looks for them."""
    container = podman(
        "run",
        "--detach",
        "--systemd=always",
        # systemd mounts file systems for its services, and reads a /proc that it hides from them.
        "--cap-add=SYS_ADMIN,SYS_PTRACE",
        f"--network=ns:{network.path}",
        *(f"--volume={outside}:{inside}:ro" for outside, inside in {checkout: "/checkout", **volumes}.items()),
        name,
        # Outside a container systemd does this itself. A service doesn't see its credentials otherwise.
        *("sh", "-c", _INIT),
    ).strip()
    try:
        made = Booted(podman, container)
        poll(made.is_up, "Debian has booted", seconds=120)
        yield made
    finally:
        podman("rm", "--force", "--time=0", container)
