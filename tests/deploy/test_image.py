import io
import json
import os
import re
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from pbs_exporter import __version__
from tests.deploy.docker_engine import builder
from tests.deploy.podman import BASE, BASE_PATH, BUILD_ARGUMENTS, CA_FILE, Podman, base_tar
from tests.support.commands import run, tool
from tests.support.documented import block
from tests.support.paths import ROOT

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


@pytest.fixture(scope="module")
def files(podman: Podman, image: str) -> Files:
    """Mount the project's image."""
    return Files(Path(podman("image", "mount", image).strip()))


@pytest.fixture(scope="module")
def base(podman: Podman, base_image: str) -> Path:
    """Mount the base image, and return its root."""
    return Path(podman("image", "mount", base_image).strip())


def test_dockerfile() -> None:
    """Hadolint finds nothing in the Dockerfile."""
    assert run(tool("hadolint"), ROOT / "Dockerfile") == ""


def test_size(files: Files) -> None:
    """The image has at most 50 MB, and compressed, as a registry sends it, at most 20 MB."""
    size = sum(found.st_size for found in files.found.values() if stat.S_ISREG(found.st_mode))
    assert 20_000_000 < size <= 50_000_000, f"{size / 1e6:.1f} MB"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        archive.add(files.root, arcname="/")
    assert 5_000_000 < packed.tell() <= 20_000_000, f"{packed.tell() / 1e6:.1f} MB"


def test_what_the_image_says(podman: Podman, image: str) -> None:
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
        "Timeout": 10 * seconds,
        "StartPeriod": 5 * seconds,
        "Retries": 3,
    }
    assert dict(line.split("=") for line in config["Env"]) == {
        "PATH": "/opt/pbs-exporter/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items() if "opencontainers" in name}
    assert labels.pop("name") == BASE
    assert labels.pop("title") == "pbs-exporter"
    assert labels.pop("description")
    assert labels.pop("licenses") == "MIT OR Apache-2.0"
    assert labels == {name.lower(): value for name, value in BUILD_ARGUMENTS.items()}


def test_no_distribution(files: Files) -> None:
    """The only programs in the image are the exporter and its Python: there is no shell and no package manager."""
    programs = {path for path, found in files.found.items() if stat.S_ISREG(found.st_mode) and found.st_mode & 0o111}
    folders = {path for path in programs if path.parent.name in {"bin", "sbin"}}
    assert {re.sub(r"[\d.]+$", "", path.name) for path in folders} == {"pbs-exporter", "python"}
    assert {path.name for path in programs - folders if ".so" not in path.name} == set()
    names = {path.name for path in files.found}
    assert names & {"sh", "bash", "dash", "busybox", "apt", "dpkg", "pip", "perl"} == {"dpkg"}
    assert [path for path in files.found if path.name == "dpkg"] == [Path("var/lib/dpkg")]
    assert {path.parts[0] for path in files.found} - {"lib64"} == {"etc", "lib", "opt", "tmp", "usr", "var"}


def test_certificate_authorities_are_the_base_images(files: Files, base: Path) -> None:
    """The image has the base's certificate authorities, not those of the machine that builds it."""
    bundle = "etc/ssl/certs/ca-certificates.crt"
    assert (files.root / bundle).read_bytes() == (base / bundle).read_bytes()


def test_authorities_users_and_names(podman: Podman, image: str) -> None:
    """In the image, Python finds the certificate authorities, the user's name, a local host, and local time as UTC."""
    code = """
import pwd, socket, ssl, time
print(len(ssl.create_default_context().get_ca_certs()) > 100, pwd.getpwuid(65532).pw_name)
print(socket.getaddrinfo("localhost", 1, socket.AF_INET)[0][4], time.tzname)
"""
    run_in = ("run", "--rm", "--network", "none", "--add-host", "localhost:127.0.0.1", "--entrypoint", "python3")
    assert podman(*run_in, image, "-c", code).splitlines() == [
        "True pbs-exporter",
        "('127.0.0.1', 1) ('UTC', 'UTC')",
    ]


def test_no_import_of_the_program_fails(podman: Podman, image: str) -> None:
    """All modules of the program and of the libraries that it uses can be imported in the image."""
    code = """
import importlib, pkgutil, pbs_exporter
for module in pkgutil.walk_packages(pbs_exporter.__path__, "pbs_exporter."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import _strptime, encodings.idna, encodings.punycode, zoneinfo, traceback, linecache, tomllib, concurrent.futures.thread
print("imported")
"""
    ran = podman("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", code)
    assert ran == "imported\n"


def test_nobody_but_root_can_change_it(files: Files) -> None:
    """Every file belongs to root, only root may write it, and none is setuid or setgid; /tmp is for all."""
    found = {path: status for path, status in files.found.items() if path != Path("tmp")}
    assert {path for path, status in found.items() if (status.st_uid, status.st_gid) != (0, 0)} == set()
    others = stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID
    assert {
        path for path, status in found.items() if not stat.S_ISLNK(status.st_mode) and status.st_mode & others
    } == set()
    assert stat.S_IMODE(files.found[Path("tmp")].st_mode) == 0o1777


def test_nothing_of_the_build_is_left(files: Files) -> None:
    """The image has no installers, tests, C headers, C sources or Python sources, and no link leads nowhere."""
    packages = {re.split(r"-\d", path.name)[0].lower() for path in files.found if path.parent.name == "site-packages"}
    assert {"aiohttp", "pbs_exporter"} <= packages
    assert packages & {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"} == set()
    assert {path for path in files.found if path.suffix in {".h", ".c", ".py", ".whl"}} == set()
    assert {path for path in files.found if path.name in {"tests", ".env", ".git", "__pycache__"}} == set()
    links = {path: files.root / path for path, found in files.found.items() if stat.S_ISLNK(found.st_mode)}
    inside = {path: Path(os.path.normpath(link.parent / link.readlink())) for path, link in links.items()}
    targets = {
        path: files.root / str(link.readlink()).lstrip("/") if link.readlink().is_absolute() else inside[path]
        for path, link in links.items()
    }
    assert {path for path, target in targets.items() if not os.path.lexists(target)} == set()


def test_bytecode(files: Files) -> None:
    """Modules are bytecode that Python doesn't check against a source, with names of files as they are in the image."""
    modules = [path for path in files.found if path.suffix == ".pyc"]
    assert len(modules) > 500
    for module in modules:
        header, code = (files.root / module).read_bytes()[:16], (files.root / module).read_bytes()[16:]
        # PEP 552: 1 stands for an unchecked hash.
        assert header[4:8] == b"\x01\0\0\0", module
        assert f"/{module.with_suffix('.py')}".encode() in code, module


def test_parts_have_versions_and_licences(files: Files) -> None:
    """Each part in the image's list of parts has a version and a licence in /usr/share/doc, and scanners find it."""
    documents = files.root / "usr/share/doc"
    bom = json.loads((documents / "pbs-exporter/sbom.cdx.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["purl"].partition("@")[0]: part["version"] for part in bom["components"]}
    assert parts["pkg:pypi/prometheus-pbs-exporter"] == __version__
    assert {"pkg:pypi/aiohttp", "pkg:pypi/bcrypt", "pkg:deb/debian/libc6", "pkg:generic/python"} <= parts.keys()
    assert {"pkg:deb/debian/ca-certificates", "pkg:deb/debian/libssl3t64"} <= parts.keys()
    names = {name.rpartition("/")[2] for name in parts}
    assert {name for name in names - {"python"} if not any((documents / name).iterdir())} == set()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+) \\$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert {name: parts.get(f"pkg:pypi/{name}") for name in pinned} == pinned
    for name, version in parts.items():
        if name.startswith("pkg:deb/"):
            stanza = (files.root / "var/lib/dpkg/status.d" / name.rpartition("/")[2]).read_text()
            assert f"\nVersion: {version}\n" in stanza
            assert "\nStatus: install ok installed\n" in stanza
    assert "\nID=debian\n" in (files.root / "usr/lib/os-release").read_text()


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
    added = root / "opt/pbs-exporter"
    (compiled,) = added.glob("lib/python3.*/site-packages/pbs_exporter/clock.pyc")
    assert b"CHANGED" in compiled.read_bytes()
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
