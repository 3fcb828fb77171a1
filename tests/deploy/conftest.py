"""Fixtures of the deployment tests.

pytest-xdist runs the test files in several workers. They share one store of podman images, in which the first worker
that needs an image builds it. Each worker that needs a Docker Engine runs its own, in networks of its own.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.deploy.compose_stack import STACK, Checkout, build_stand_ins
from tests.deploy.docker_engine import HOST, Docker, engine
from tests.deploy.podman import Podman, build_image, import_base_image
from tests.support.cache import once
from tests.support.commands import process
from tests.support.network_namespace import Namespace
from tests.support.simulated_pbs import Address, Simulate

_SHARED = "PBS_EXPORTER_TESTS_SHARED"
"""Environment variable with the folder that the workers of a test run share."""

_LONGEST = (
    "test_getting_started",
    "test_compose",
    "test_packages",
    "test_systemd",
    "test_many_servers",
    "test_image",
    "test_own_pbs",
    "test_container",
)
"""Files that begin first, because the others can run while these wait."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that the workers share; they inherit its name."""
    if not hasattr(config, "workerinput"):
        os.environ[_SHARED] = tempfile.mkdtemp(prefix="pbs-exporter-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder after the last worker has ended."""
    if not hasattr(config, "workerinput"):
        Podman(Path(os.environ.pop(_SHARED))).close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def podman() -> Podman:
    """Return podman with the store that all workers share."""
    assert os.geteuid() == 0, "these tests run containers with limits and networks: run them as root"
    return Podman(Path(os.environ[_SHARED]))


@pytest.fixture(scope="session")
def base_image(podman: Podman) -> str:
    """Import the stand-in for the Dockerfile's base image, and return its name."""
    return once(podman.folder, "base", lambda: import_base_image(podman))


@pytest.fixture(scope="session")
def image(podman: Podman, base_image: str) -> str:
    """Build the project's image from the checkout, and return its name."""
    assert base_image
    return once(podman.folder, "image", lambda: build_image(podman))


@pytest.fixture(scope="session")
def image_archive(podman: Podman, image: str) -> Path:
    """Save the project's image as an archive that Docker can load."""
    archive = podman.folder / "image.tar"

    def save() -> str:
        podman("save", "--format", "docker-archive", "--output", archive, image)
        return str(archive)

    return Path(once(podman.folder, "archive", save))


@pytest.fixture(scope="session")
def docker(image: str, image_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Run a Docker Engine that has the project's image, also under the name `pbs-exporter`."""
    with engine(tmp_path_factory.mktemp("docker")) as running:
        running("load", "--input", image_archive)
        running("tag", image, "pbs-exporter")
        yield running


@pytest.fixture(scope="session")
def stand_ins(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Build the stand-ins for the images that the monitoring stack pulls from a registry."""
    build_stand_ins(docker, tmp_path_factory.mktemp("stand-ins"))


@pytest.fixture
def checkout(docker: Docker, stand_ins: None, tmp_path: Path) -> Checkout:
    """Copy the checkout, with as much of the monitoring stack as can run."""
    assert stand_ins is None
    (tmp_path / "checkout").mkdir()
    return Checkout(docker, tmp_path / "checkout")


@pytest.fixture
def stack(checkout: Checkout) -> Iterator[Checkout]:
    """Copy the checkout, and take the monitoring stack down after the test."""
    yield checkout
    checkout.docker.compose(checkout.folder / STACK, "--profile", "demo", "down", "--volumes", "--timeout", "5")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Make a network namespace for one test."""
    with Namespace("pbs-exporter") as made:
        yield made


@pytest.fixture(scope="session")
def simulated_pbs(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Return a context manager that runs a simulated PBS, which replays a recording."""
    log = tmp_path_factory.mktemp("simulated") / "stderr"

    @contextmanager
    def simulate(namespace: Namespace, host: str = "127.0.0.1", port: int = 0, latency: float = 0) -> Iterator[Address]:
        command = namespace.inside(sys.executable, "-m", "tests.support.simulated_pbs", host, str(port), str(latency))
        with process(*command, log=log) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line, log.read_text()
            yield msgspec.json.decode(line, type=Address)

    return simulate


@pytest.fixture(scope="module")
def pbs(docker: Docker, simulated_pbs: Simulate) -> Iterator[Address]:
    """Run a simulated PBS on the engine's machine, where containers reach it."""
    with simulated_pbs(docker.machine, HOST) as address:
        yield address
