import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from pbs_exporter import __version__
from tests.deploy.docker_engine import builder
from tests.deploy.podman import BASE, BASE_PATH, BUILD_ARGUMENTS, CA_FILE, Podman, base_tar
from tests.support.commands import run, tool
from tests.support.documented import block
from tests.support.paths import ROOT

HOME = Path("opt/pbs-exporter")
SIZE_LIMIT = 25_000_000
MARKER = "5ca1ab1e-0000-4000-8000-000000000000"


class Files:
    """The files of an image below `root`, with the result of `lstat` by path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: dict[Path, os.stat_result] = {}
        for folder, folders, names in os.walk(root):
            for name in (*folders, *names):
                path = Path(folder, name)
                self.found[path.relative_to(root)] = path.lstat()


def kind(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return the properties of a file that must not change: the mode, the owner, and the size."""
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return (found.st_mode, found.st_uid, found.st_gid, size)


@pytest.fixture(scope="module")
def base_files(podman: Podman, base_image: str) -> Files:
    """Mount the base image."""
    return Files(Path(podman("image", "mount", base_image).strip()))


@pytest.fixture(scope="module")
def files(podman: Podman, image: str) -> Files:
    """Mount the project's image."""
    return Files(Path(podman("image", "mount", image).strip()))


@pytest.fixture(scope="module")
def added(files: Files, base_files: Files) -> dict[Path, os.stat_result]:
    """Return the files that the project's image adds to the base."""
    return {path: found for path, found in files.found.items() if path not in base_files.found}


def test_dockerfile() -> None:
    """Hadolint finds nothing in the Dockerfile."""
    assert run(tool("hadolint"), ROOT / "Dockerfile") == ""


def test_size(podman: Podman, image: str, base_image: str) -> None:
    """The layers on top of the base have at most 25 MB, including dependencies."""
    size = podman.inspect(image)["Size"] - podman.inspect(base_image)["Size"]
    assert 5_000_000 < size < SIZE_LIMIT, f"{size / 1e6:.1f} MB"


def test_what_the_image_says(podman: Podman, image: str, base_image: str) -> None:
    """The image runs the program as a nameless user, ends with SIGTERM, and has a health check and all labels."""
    config = podman.inspect(image)["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["pbs-exporter"]
    assert not config.get("Cmd")
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["9101/tcp"]
    seconds = 1_000_000_000
    assert podman.inspect(image)["Healthcheck"] == {
        "Test": ["CMD", "pbs-exporter", "healthcheck"],
        "Interval": 30 * seconds,
        "Timeout": 3 * seconds,
        "StartPeriod": 5 * seconds,
        "Retries": 3,
    }
    inherited = podman.inspect(base_image)["Config"]["Env"]
    assert {line.partition("=")[0] for line in {*config["Env"]} - {*inherited}} == {
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items() if "opencontainers" in name}
    assert labels.pop("title") == "pbs-exporter"
    assert labels.pop("description")
    assert labels.pop("licenses") == "MIT OR Apache-2.0"
    assert labels == {name.lower(): value for name, value in BUILD_ARGUMENTS.items()}


def test_only_the_program_is_added(files: Files, base_files: Files, added: dict[Path, os.stat_result]) -> None:
    """Outside the program's folder, every file of the image is the base's, and none is added."""
    assert {path for path in added if path.parts[:2] != HOME.parts} == set()
    assert base_files.found.keys() - files.found.keys() == set()
    changed = {path for path, before in base_files.found.items() if kind(files.found[path]) != kind(before)}
    assert changed == set()


def test_nobody_but_root_can_change_it(added: dict[Path, os.stat_result]) -> None:
    """Every added file belongs to root, only root may write it, and none is setuid or setgid."""
    assert {path for path, found in added.items() if (found.st_uid, found.st_gid) != (0, 0)} == set()
    others = stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID
    assert {
        path for path, found in added.items() if not stat.S_ISLNK(found.st_mode) and found.st_mode & others
    } == set()


def test_nothing_of_the_build_is_left(added: dict[Path, os.stat_result]) -> None:
    """The image has no installers, tests, C headers or C sources."""
    packages = {re.split(r"-\d", path.name)[0].lower() for path in added if path.parent.name == "site-packages"}
    assert {"aiohttp", "pbs_exporter"} <= packages
    assert packages & {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"} == set()
    assert {path for path in added if path.suffix in {".h", ".c", ".whl"}} == set()
    assert {path for path in added if path.name in {"tests", ".env", ".git"}} == set()


def test_bytecode_is_compiled(files: Files, added: dict[Path, os.stat_result]) -> None:
    """Every module is compiled, and Python doesn't check the bytecode against the source."""
    modules = [path for path in added if path.suffix == ".py"]
    assert len(modules) > 100
    for module in modules:
        compiled = files.root / module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        # PEP 552: 1 stands for an unchecked hash.
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", module


def test_versions(podman: Podman, image: str) -> None:
    """The program in the image prints its version and revision."""
    printed = podman("run", "--rm", "--network", "none", image, "--version")
    assert printed == f"pbs-exporter {__version__} (revision {BUILD_ARGUMENTS['REVISION']})\n"


def test_a_change_of_code_reinstalls_nothing(podman: Podman, image: str, tmp_path: Path) -> None:
    """After a change of code, the dependencies come from the build cache, and secrets beside the code stay out."""
    assert image
    for name in run("git", "ls-files").splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    with (tmp_path / "pbs_exporter" / "clock.py").open("a") as module:
        module.write("CHANGED = True\n")
    secrets = [tmp_path / name for name in (".env", "pbs_token", "settings.toml", "pbs_exporter/__pycache__/x")]
    for secret in secrets:
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(f"PBS_EXPORTER__PBS__TOKEN_SECRET={MARKER}\n")
    changed = "localhost/changed:1"
    said = podman.build("--layers", "--tag", changed, context=tmp_path)
    installs = re.findall(r"STEP \d+/\d+: RUN [^\n]*pip[^\n]*\n(--> Using cache)?", said)
    assert installs == ["--> Using cache", "--> Using cache", ""]
    root = Path(podman("image", "mount", changed).strip())
    added = root / HOME
    assert "CHANGED" in (next(added.glob("lib/python3.*/site-packages")) / "pbs_exporter" / "clock.py").read_text()
    assert [path for path in added.rglob("*") if path.is_file() and MARKER.encode() in path.read_bytes()] == []
    history = podman("history", "--no-trunc", "--format", "json", changed)
    assert MARKER not in history + json.dumps(podman.inspect(changed))


def test_docker_build(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Docker's own builder builds the image with the README's command."""
    command = block("README.md: Build the image 1").split()
    assert command == ["docker", "build", "--tag", "pbs-exporter", "."]
    # This base has the machine's certificate authorities, which podman's builds mount.
    base = tmp_path_factory.mktemp("base")
    shutil.copy(CA_FILE, base)
    (base / "Dockerfile").write_text(f"FROM base\nCOPY {CA_FILE.name} {CA_FILE}\n")
    with builder(tmp_path_factory.mktemp("builder")) as docker:
        # Without this plugin, `docker build` would use the legacy builder.
        docker("buildx", "version")
        docker("import", "--change", f"ENV PATH={BASE_PATH}", base_tar(), "base")
        docker("build", "--tag", BASE, base)
        docker(*command[1:-1], "--network", "host", ROOT)
        assert (
            docker("run", "--rm", "--network", "none", "pbs-exporter", "--version") == f"pbs-exporter {__version__}\n"
        )
