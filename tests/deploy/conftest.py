"""What the deployment tests share."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.deploy.compose_stack import Checkout, build_stand_ins
from tests.deploy.docker_engine import Docker, engine
from tests.deploy.machine import Namespace, process
from tests.deploy.podman import BUILD_ARGUMENTS, IMAGE, Podman, base_image_from
from tests.deploy.simulated_pbs import Address, Simulate


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Make stores of this run's own for podman and buildah."""
    assert os.geteuid() == 0, "these tests run containers with limits and networks: run them as root"
    made = Podman(tmp_path_factory.mktemp("podman"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def base_image(podman: Podman) -> str:
    """Make the image that stands in for the one that the Dockerfile builds on; gives its name."""
    return base_image_from(podman)


@pytest.fixture(scope="session")
def image(podman: Podman, base_image: str) -> str:
    """Build the project's image from the checkout; gives its name."""
    assert base_image
    podman.build(
        "--layers", "--tag", IMAGE, *(f"--build-arg={name}={value}" for name, value in BUILD_ARGUMENTS.items())
    )
    return IMAGE


@pytest.fixture(scope="session")
def docker(podman: Podman, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Run a Docker Engine that has the project's image, as `pbs-exporter` too."""
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    podman("save", "--format", "docker-archive", "--output", archive, image)
    with engine(tmp_path_factory.mktemp("docker")) as running:
        running("load", "--input", archive)
        archive.unlink()
        running("tag", image, "pbs-exporter")
        yield running


@pytest.fixture(scope="session")
def stand_ins(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the engine what stands in for the images that the monitoring stack has from a registry."""
    build_stand_ins(docker, tmp_path_factory.mktemp("stand-ins"))


@pytest.fixture
def checkout(docker: Docker, stand_ins: None, tmp_path: Path) -> Checkout:
    """Make a copy of the checkout, with the monitoring stack as far as it can run."""
    assert stand_ins is None
    (tmp_path / "checkout").mkdir()
    return Checkout(docker, tmp_path / "checkout")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Make a network of the test's own."""
    with Namespace("pbs-exporter") as made:
        yield made


@pytest.fixture(scope="session")
def simulated_pbs(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Give what runs a simulated PBS. Its snapshots are recorded ones."""
    log = tmp_path_factory.mktemp("simulated") / "stderr"

    @contextmanager
    def simulate(namespace: Namespace, host: str = "127.0.0.1", port: int = 0, latency: float = 0) -> Iterator[Address]:
        command = namespace.inside(sys.executable, "-m", "tests.deploy.simulated_pbs", host, str(port), str(latency))
        with process(*command, log=log) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line, log.read_text()
            yield msgspec.json.decode(line, type=Address)

    return simulate
