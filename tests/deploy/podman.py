"""podman and buildah with a store of their own, and the base image."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.cache import cached
from tests.support.commands import attempt, environment, run
from tests.support.paths import ROOT

CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
"""The machine's certificate authorities. Builds behind a proxy that opens TLS need them; no image keeps them."""

BASE = "python:3.13-slim"
"""The Dockerfile's base image. The tests make a stand-in from Debian packages, with the same release and Python."""
IMAGE = "localhost/pbs-exporter:test"

BUILD_ARGUMENTS = {
    "VERSION": "9.8.7",
    "REVISION": "0123456789abcdef0123456789abcdef01234567",
    "CREATED": "2026-01-02T03:04:05Z",
    "SOURCE": "https://git.example.com/pbs-exporter",
}
"""The build arguments of a release."""

_BOOTSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=python3,python3-venv,ca-certificates",
    "--customize-hook=mkdir --parents $1/usr/local/bin",
    "--customize-hook=ln --symbolic /usr/bin/python3 $1/usr/local/bin/python3",
    "--customize-hook=ln --symbolic /usr/bin/python3 $1/usr/local/bin/python",
    "--customize-hook=rm $1/usr/lib/python3.13/EXTERNALLY-MANAGED",
    "trixie",
)
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"

# Works with and without systemd, on hybrid cgroups, and without the privilege to raise limits.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
static_dir = "{folder}/storage/libpod"
tmp_dir = "{folder}/run/tmp"
volume_path = "{folder}/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


def base_tar() -> Path:
    """Return a tar archive with the files of the base image."""
    folder = cached("base", _BOOTSTRAP, lambda folder: _run_bootstrap(folder / "base.tar"))
    return folder / "base.tar"


def _run_bootstrap(tar: Path) -> None:
    run(*_BOOTSTRAP, tar)


class Podman:
    """podman and buildah with a store in a folder. Other containers and images of the machine are left alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("networks", "volumes"):
            (folder / name).mkdir(exist_ok=True)
        settings = {
            "CONTAINERS_CONF": _CONTAINERS,
            "CONTAINERS_STORAGE_CONF": _STORAGE,
            "CONTAINERS_REGISTRIES_CONF": "",
        }
        self.env = environment()
        for variable, text in settings.items():
            file = folder / f"{variable.lower()}.toml"
            file.write_text(text.format(folder=folder))
            self.env[variable] = str(file)

    def __call__(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run `podman …`, and return its output. Raise `AssertionError` if it fails."""
        return run("podman", *arguments, env=self.env, stdin=stdin)

    def attempt(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `podman …`, and accept any exit code."""
        return attempt("podman", *arguments, env=self.env, stdin=stdin)

    def inspect(self, what: str) -> dict[str, Any]:
        """Return `podman inspect` of a container or an image."""
        (found,) = json.loads(self("inspect", what))
        assert isinstance(found, dict)
        return found

    def build(self, *arguments: str | Path, context: Path = ROOT) -> str:
        """Build an image with buildah from images of the store, in the format that keeps HEALTHCHECK."""
        authorities = f"{CA_FILE}:{CA_FILE}:ro"
        isolation = ("--isolation", "chroot", "--pull-never", "--format", "docker")
        return run("buildah", "bud", *isolation, "--volume", authorities, *arguments, context, env=self.env)

    def close(self) -> None:
        """Remove all containers, and the store."""
        if (self.folder / "storage").exists():
            self("rm", "--all", "--force", "--time", "0")
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                run("umount", mount)
        shutil.rmtree(self.folder)


def import_base_image(podman: Podman) -> str:
    """Import the base image into the store, and return its name."""
    podman(
        "import", "--change", f"ENV PATH={BASE_PATH}", "--change", 'CMD ["python3"]', base_tar(), f"localhost/{BASE}"
    )
    return BASE


def build_image(podman: Podman, arguments: Mapping[str, str] = BUILD_ARGUMENTS) -> str:
    """Build the project's image from the checkout, as a release does, and return its name."""
    podman.build("--layers", "--tag", IMAGE, *(f"--build-arg={name}={text}" for name, text in arguments.items()))
    return IMAGE
