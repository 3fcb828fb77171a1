"""`make dist`: sdist and wheel."""

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pbs_exporter import __version__
from tests.deploy.distribution import Built, clone, download, make_dist
from tests.support.commands import attempt, environment, process, run, tool
from tests.support.documented import block
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.waiting import poll

NAME = f"prometheus_pbs_exporter-{__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist and the wheel from the checkout."""
    return make_dist(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and its dependencies into an empty environment, and return its folder."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    wheels = download(sys.executable)
    run(sys.executable, "-m", "venv", folder)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--find-links", wheels)
    run(folder / "bin" / "pip", "install", *quiet, built.wheel)
    return folder


class Member(NamedTuple):
    """The metadata of a file in an archive."""

    mode: int
    owner: tuple[int, int, str, str]
    time: int


def members(sdist: Path) -> dict[str, Member]:
    """Return the metadata of each file of an sdist, by path."""
    with tarfile.open(sdist) as tar:
        return {
            member.name: Member(member.mode, (member.uid, member.gid, member.uname, member.gname), int(member.mtime))
            for member in tar.getmembers()
            if not member.isdir()
        }


def tracked(*paths: str) -> set[str]:
    """Return the commit's files below these paths."""
    return set(run("git", "ls-tree", "-r", "--name-only", "HEAD", *paths).splitlines())


def test_each_checkout_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """Checkouts with another path, umask, file times or an untracked file give the same bytes."""
    for number, umask in enumerate((0o077, 0o002)):
        checkout = clone(tmp_path / f"{'deeper/' * number}clone", umask)
        (checkout / "pbs_exporter" / "forgotten.py").write_text("forgotten = True\n")
        for file in (checkout / "pbs_exporter").rglob("*.py"):
            os.utime(file, (1_000_000_000 + number, 1_000_000_000 + number))
        before = os.umask(umask)
        try:
            again = make_dist(tmp_path / f"dist{number}", checkout)
        finally:
            os.umask(before)
        assert [file.name for file in again] == [file.name for file in built]
        assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in again] == [
            hashlib.sha256(file.read_bytes()).hexdigest() for file in built
        ]


def test_sdist_has_what_is_needed_and_no_more(built: Built) -> None:
    """The sdist has the package, licences, example settings, pinned requirements and the unit, and no tests."""
    assert built.sdist.name == f"{NAME}.tar.gz"
    found = {name.removeprefix(f"{NAME}/") for name in members(built.sdist)}
    wanted = tracked("pbs_exporter", "deploy/systemd") | {
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "MANIFEST.in",
        "README.md",
        "pyproject.toml",
        "requirements.txt",
        "settings.schema.json",
        "settings.toml",
    }
    made = {"PKG-INFO", "setup.cfg", "pbs_exporter/revision.txt"}
    assert {name for name in found if ".egg-info/" not in name} == wanted | made


def test_sdist_says_nothing_of_the_machine(built: Built) -> None:
    """Each file in the sdist has the commit's time, no owner's name, and mode 644."""
    seconds = int(run("git", "log", "-1", "--format=%ct"))
    (member,) = set(members(built.sdist).values())
    assert member == Member(0o644, (0, 0, "", ""), seconds)


def test_wheel_has_the_package_alone(built: Built) -> None:
    """The wheel is pure Python, and has the package, its commit, licences and metadata, and nothing else."""
    assert built.wheel.name == f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.testzip() is None
        revision = archive.read("pbs_exporter/revision.txt").decode().strip()
        files = set(archive.namelist())
    assert revision == run("git", "rev-parse", "HEAD").strip()
    info = f"{NAME}.dist-info"
    assert files == tracked("pbs_exporter") | {"pbs_exporter/revision.txt"} | {
        f"{info}/{name}"
        for name in (
            "METADATA",
            "RECORD",
            "WHEEL",
            "entry_points.txt",
            "licenses/LICENSE-APACHE",
            "licenses/LICENSE-MIT",
            "top_level.txt",
        )
    }


def test_others_build_the_same_from_the_sdist(built: Built, tmp_path: Path) -> None:
    """`python -m build` makes an identical wheel from the sdist."""
    run("tar", "--extract", "--file", built.sdist, "--directory", tmp_path)
    env = environment(SOURCE_DATE_EPOCH=run("git", "log", "-1", "--format=%ct").strip())
    command = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist")
    run(*command, cwd=tmp_path / NAME, env=env)
    assert (tmp_path / "dist" / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def test_wheel_names_the_projects_dependencies(installed: Path) -> None:
    """An empty environment gets the dependencies in `pyproject.toml`, and none for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = run(installed / "bin" / "pip", "--disable-pip-version-check", "list", "--format=freeze")
    names = {line.partition("==")[0].lower().replace("_", "-") for line in listed.splitlines()}
    asked = {match[0] for line in project["dependencies"] if (match := re.match(r"[a-z-]+", line))}
    assert asked <= names
    assert not names & {"pytest", "mypy", "ruff", "watchfiles"}


def test_installed_program_says_its_version(installed: Path) -> None:
    """`pbs-exporter --version` of the wheel prints the version and the commit."""
    commit = run("git", "rev-parse", "HEAD").strip()
    said = run(installed / "bin" / "pbs-exporter", "--version", cwd=installed)
    assert said == f"pbs-exporter {__version__} (revision {commit})\n"


@pytest.fixture
def demo(installed: Path, namespace: Namespace, tmp_path: Path) -> Iterator[Namespace]:
    """Run the wheel's `pbs-exporter demo`, and yield its network namespace."""
    command = namespace.inside(installed / "bin" / "pbs-exporter", "demo")
    with process(*command, log=tmp_path / "log", cwd=tmp_path):
        yield namespace


def test_installed_demo_serves_a_page(demo: Namespace) -> None:
    """`pbs-exporter demo` of the wheel serves metrics of its simulated PBS."""
    page = poll(lambda: demo.try_get("http://127.0.0.1:9101/metrics"), "the demo's page")
    assert "\npbs_up 1" in page
    assert "\npbs_snapshot_count{" in page


def test_metadata_is_what_pypi_accepts(built: Built, tmp_path: Path) -> None:
    """Twine finds nothing wrong with wheel and sdist, and finds a description that PyPI can't show."""
    check = (tool("twine"), "--no-color", "check", "--strict")
    assert run(*check, *built).count("PASSED") == len(built)
    copy = tmp_path / built.wheel.name
    with zipfile.ZipFile(built.wheel) as whole, zipfile.ZipFile(copy, "w") as wrong:
        for name in whole.namelist():
            text = whole.read(name)
            if name.endswith("/METADATA"):
                text = text.partition(b"\n\n")[0].replace(b"text/markdown", b"text/x-rst") + b"\n\n.. wrong::\n"
            wrong.writestr(name, text)
    assert attempt(*check, copy).returncode == 1


def test_release_has_the_repositorys_address(tmp_path: Path) -> None:
    """With an address, the metadata have project URLs, and no link of the description is relative."""
    source = "https://git.example.com/someone/exporter"
    made = (f"VENV={sys.prefix}", f"--old-file={sys.prefix}/ready")
    run("make", *made, "dist", f"DIST={tmp_path}", env=environment(SOURCE=source))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
    commit = run("git", "rev-parse", "HEAD").strip()
    assert f"Project-URL: Homepage, {source}\n" in metadata
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert {
        f"{source}/blob/{commit}/docs/install.md",
        f"{source}/raw/{commit}/docs/pictures/dashboard-overview-top.png",
    } <= {*links}
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("name", ["docs/install.md: pipx and uv 1", "docs/install.md: pipx and uv 2"])
def test_tools_install_the_wheel(built: Built, name: str, tmp_path: Path) -> None:
    """The documented commands for pipx and uv install a working program, without the tested requirements."""
    script = block(name)
    (tmp_path / "dist").mkdir()
    shutil.copy(built.wheel, tmp_path / "dist")
    config = tmp_path / "uv.toml"
    config.write_text(f'no-index = true\nfind-links = ["{download(sys.executable)}"]\n')
    bin_folder = tmp_path / "bin"
    env = environment(
        HOME=str(tmp_path),
        PATH=f"{bin_folder}:{without_program(tmp_path / 'tools')}:/usr/bin:/bin",
        PIPX_BIN_DIR=str(bin_folder),
        PIPX_DEFAULT_PYTHON=sys.executable,
        UV_CONFIG_FILE=str(config),
        UV_PYTHON=sys.executable,
        UV_TOOL_BIN_DIR=str(bin_folder),
    )
    said = run("bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, env=env)
    assert f"pbs-exporter {__version__} (revision " in said
    assert (bin_folder / "pbs-exporter").exists()


def without_program(folder: Path) -> Path:
    """Return a new folder with this environment's pipx and uv, and not its program."""
    folder.mkdir()
    for name in ("pipx", "uv"):
        (folder / name).symlink_to(tool(name))
    return folder


def test_documented_commands_install_the_wheel(built: Built, tmp_path: Path) -> None:
    """The documented commands for pip install a working program from the wheel of `make dist`."""
    commands = block("docs/install.md: pip 1")
    script = commands.replace("/opt/pbs-exporter", str(tmp_path / "venv")).replace("make dist\n", "")
    assert script.count(str(tmp_path)) == commands.count("/opt/pbs-exporter") > 2
    (tmp_path / "dist").mkdir()
    shutil.copy(built.wheel, tmp_path / "dist")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    index = environment(
        PIP_NO_INDEX="1", PIP_FIND_LINKS=str(download(sys.executable)), PIP_DISABLE_PIP_VERSION_CHECK="1"
    )
    said = run("bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, env=index)
    assert f"\npbs-exporter {__version__} (revision " in said
