"""What the deployment tests share."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from engine import BASE, IMAGE, Podman, base_image_from
from machine import Namespace, process
from simulated import Address


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """podman and buildah with stores of their own, for this run."""
    assert os.geteuid() == 0, "these tests run containers with limits and networks: run them as root"
    engine = Podman(tmp_path_factory.mktemp("podman"))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def base_image(podman: Podman) -> str:
    """The name of the image that stands in for the one that the Dockerfile builds on."""
    return base_image_from(podman)


@pytest.fixture(scope="session")
def image(podman: Podman, base_image: str) -> str:
    """The name of the project's image, built from the checkout."""
    assert base_image == BASE
    podman.build("--tag", IMAGE)
    return IMAGE


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network of the test's own."""
    with Namespace("pbs-exporter") as made:
        yield made


class Simulate(Protocol):
    """Runs a simulated PBS in a network, as long as the block lasts."""

    def __call__(
        self, namespace: Namespace, host: str = "127.0.0.1", port: int = 0, latency: float = 0
    ) -> AbstractContextManager[Address]: ...


@pytest.fixture(scope="session")
def simulated_pbs(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Give what runs a simulated PBS. Its snapshots are recorded ones."""
    log = tmp_path_factory.mktemp("simulated") / "stderr"
    program = Path(__file__).with_name("simulated.py")

    @contextmanager
    def simulate(namespace: Namespace, host: str = "127.0.0.1", port: int = 0, latency: float = 0) -> Iterator[Address]:
        command = namespace.inside(sys.executable, program, host, str(port), str(latency))
        with process(*command, log=log) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line, log.read_text()
            yield msgspec.json.decode(line, type=Address)

    return simulate
