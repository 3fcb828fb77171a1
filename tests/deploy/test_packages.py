"""The Debian packages, installed in booted Debians, and the rpm."""

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from pbs_exporter import __version__
from tests.deploy.booted import UNIT, Booted, booted_image, image
from tests.deploy.distribution import clone
from tests.deploy.podman import Podman
from tests.support.cache import once
from tests.support.commands import attempt, machine_environment, run
from tests.support.documented import block
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

SUITES = {"bookworm": "debian12", "trixie": "debian13"}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
UNITS = "usr/lib/systemd/system"
SETTINGS = "/etc/pbs-exporter/settings.toml"
TOKEN = "/etc/pbs-exporter/token"
EXPOSURE = 15
"""The highest allowed score of `systemd-analyze security`, in tenths."""


@pytest.fixture(scope="session")
def packages(podman: Podman) -> Path:
    """Build the packages from the checkout, and return their folder."""
    folder = podman.folder / "packages"

    def build() -> str:
        make_packages(folder)
        return str(folder)

    return Path(once(podman.folder, "packages", build))


def make_packages(folder: Path, checkout: Path = ROOT) -> None:
    """Run `make packages` of a checkout with this environment's Python, into a folder."""
    made = (f"VENV={sys.prefix}", f"--old-file={sys.prefix}/ready", f"ARCHITECTURES={ARCHITECTURE}")
    run("make", *made, "packages", f"DIST={folder}", cwd=checkout, env=machine_environment(), seconds=900)


def deb_of(folder: Path, suite: str) -> Path:
    """Return the package for a Debian."""
    return folder / f"pbs-exporter_{__version__}_{SUITES[suite]}_{ARCHITECTURE}.deb"


def changed(deb: Path, folder: Path) -> Path:
    """Return a package of a later version, whose settings file is another."""
    unpacked = folder / "unpacked"
    run("dpkg-deb", "--raw-extract", deb, unpacked)
    control = unpacked / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {__version__}+later", control.read_text()))
    settings = unpacked / SETTINGS.lstrip("/")
    settings.write_text(f"# A later sample.\n{settings.read_text()}")
    sums = unpacked / "DEBIAN" / "md5sums"
    sums.write_text("".join(f"{line}\n" for line in sums.read_text().splitlines() if "settings.toml" not in line))
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", unpacked, folder / "pbs-exporter_later.deb")
    return folder / "pbs-exporter_later.deb"


class Installed(NamedTuple):
    """A Debian in which the package was installed, configured and started as documented."""

    booted: Booted
    network: Namespace
    pbs: Address
    said: str
    """What apt printed."""

    def page(self, port: int = 9101) -> str:
        """Return the metrics, or an empty text if nothing answers."""
        return self.network.try_get(f"http://127.0.0.1:{port}/metrics") or ""

    def is_well(self, port: int = 9101) -> bool:
        """Whether it answers, and PBS is up."""
        return "\npbs_up 1" in self.page(port)

    def wait(self, port: int = 9101) -> None:
        """Wait until PBS is up."""
        try:
            poll(partial(self.is_well, port), "the page of the simulated PBS", seconds=60)
        except AssertionError as error:
            journal = self.booted("journalctl", "--no-pager", "--lines=30")
            raise AssertionError(f"{self.page(port)}\n{journal}") from error

    def mode(self, *paths: str) -> list[str]:
        """Return owner, group and mode of files."""
        return self.booted("stat", "--format=%U:%G %a", *paths).splitlines()

    def entries(self, *paths: str) -> list[str]:
        """Return what there is in folders, and below them."""
        return self.booted.attempt("find", *paths).stdout.splitlines()


@pytest.fixture(scope="module", params=SUITES)
def installed(
    request: pytest.FixtureRequest,
    podman: Podman,
    packages: Path,
    simulated_pbs: Simulate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    """Boot a Debian, and install, configure and start the package with the README's lines."""
    install, start = block("README.md: Debian package 1"), block("README.md: Debian package 2")
    lines = block("README.md: Debian package 1", "toml")
    folder = tmp_path_factory.mktemp("packages")
    deb = deb_of(packages, request.param)
    shutil.copy(deb, folder)
    changed(deb, tmp_path_factory.mktemp("changed")).rename(folder / "later.deb")
    name = image(podman, request.param)
    with (
        Namespace(f"pbs-exporter-{SUITES[request.param]}") as network,
        simulated_pbs(network) as pbs,
        booted_image(podman, name, network, folder, {}) as booted,
    ):
        for named, ours in (("apt ", "apt-get --yes "), ("debian13_amd64", f"{SUITES[request.param]}_{ARCHITECTURE}")):
            assert install.count(named) == 1
            install = install.replace(named, ours)
        said = booted.script(f"export DEBIAN_FRONTEND=noninteractive\n{install}")
        booted.script(f"cat >{SETTINGS}", stdin=configured(booted("cat", SETTINGS), lines, pbs))
        booted.script(start)
        made = Installed(booted, network, pbs, said)
        made.wait()
        yield made


def configured(sample: str, lines: str, pbs: Address) -> str:
    """Return the sample settings with the documented lines uncommented, and the values of a PBS in them."""
    values = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, "token_secret": pbs.secret}
    values["fingerprint"] = pbs.fingerprint
    keys = re.findall(r"^(\w+) = ", lines, re.MULTILINE)
    assert keys == list(values)
    for key in keys:
        sample, times = re.subn(rf'(?m)^# {key} = ".*"$', f'{key} = "{values[key]}"', sample)
        assert times == 1, key
    return sample


def test_files_and_owners(installed: Installed) -> None:
    """Settings are for root and the service's group alone; the user has no shell; the units need no change."""
    assert installed.mode("/etc/pbs-exporter", SETTINGS) == ["root:pbs-exporter 750", "root:pbs-exporter 640"]
    assert installed.booted("getent", "passwd", "pbs-exporter").rstrip().endswith(":/:/usr/sbin/nologin")
    said = installed.booted.attempt("systemd-analyze", "verify", "--man=no", UNIT, "pbs-exporter@one.service")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    installed.booted("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", f"/{UNITS}/{UNIT}")
    assert installed.booted("dpkg", "--verify", "pbs-exporter").split() == ["??5??????", "c", SETTINGS]


def test_runs_as_its_user(installed: Installed) -> None:
    """The service runs as its own user, without capabilities, and shows its own memory."""
    status = installed.booted("cat", f"/proc/{installed.booted.main_pid()}/status")
    user = installed.booted("id", "--user", "pbs-exporter").strip()
    assert re.search(r"(?m)^Uid:\t(.*)$", status)[1].split() == [user] * 4  # type: ignore[index] # it fails the test
    assert re.search(r"(?m)^CapEff:\t0+$", status)
    assert "\nprocess_resident_memory_bytes " in installed.page()


def test_commands_for_root(installed: Installed) -> None:
    """The command says its version and checks PBS, and needs none of the machine's Python settings for it."""
    commit = run("git", "rev-parse", "HEAD").strip()
    said = installed.booted("env", "PYTHONHOME=/nowhere", "PYTHONPATH=/nowhere", "pbs-exporter", "--version")
    assert said == f"pbs-exporter {__version__} (revision {commit})\n"
    checked = installed.booted.attempt("pbs-exporter", "--config", SETTINGS, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_instance(installed: Installed) -> None:
    """An instance serves the PBS of its own file, with its secret in a file made as documented."""
    own = installed.booted("cat", SETTINGS)
    for key, value in {"token_secret": None, "token_secret_file": TOKEN, "listen_address": "127.0.0.1:9102"}.items():
        own = re.sub(rf"(?m)^(# )?{key} = .*", "" if value is None else f'{key} = "{value}"', own)
    installed.booted(
        "install", "-m", "640", "-g", "pbs-exporter", "/dev/stdin", "/etc/pbs-exporter/one.toml", stdin=own
    )
    installed.booted.script(block("docs/install.md: Debian package 1"), stdin=f"{installed.pbs.secret}\n")
    try:
        installed.booted("systemctl", "start", "pbs-exporter@one")
        installed.wait(9102)
        assert installed.is_well()
    finally:
        installed.booted.script(f"systemctl stop pbs-exporter@one\nrm /etc/pbs-exporter/one.toml {TOKEN}")


def test_upgrade_remove_and_purge(installed: Installed) -> None:
    """An upgrade keeps changed settings and restarts the service; removing keeps the settings, purging nothing."""
    booted, pid = installed.booted, installed.booted.main_pid()
    settings, owners = booted("cat", SETTINGS), installed.mode("/etc/pbs-exporter", SETTINGS)
    keep = "export DEBIAN_FRONTEND=noninteractive\napt-get --yes -o Dpkg::Options::=--force-confold"
    booted.script(f"{keep} install ./later.deb")
    assert booted("dpkg-query", "--show", "--showformat=${Version}", "pbs-exporter") == f"{__version__}+later"
    assert booted("cat", SETTINGS) == settings
    assert booted("head", "--lines=1", f"{SETTINGS}.dpkg-dist") == "# A later sample.\n"
    assert installed.mode("/etc/pbs-exporter", SETTINGS) == owners
    installed.wait()
    assert booted.main_pid() not in {0, pid}

    booted.script(f"{keep} remove pbs-exporter")
    assert booted.attempt("systemctl", "is-active", UNIT).stdout == "inactive\n"
    assert installed.page() == ""
    assert installed.entries("/usr/lib/pbs-exporter", "/usr/bin/pbs-exporter") == []
    assert booted("cat", SETTINGS) == settings

    booted.script(f"{keep} purge pbs-exporter")
    wants = "/etc/systemd/system/multi-user.target.wants/pbs-exporter.service"
    assert installed.entries("/etc/pbs-exporter", wants) == []


def test_lintian_finds_no_error(packages: Path) -> None:
    """Lintian finds no error in a package, and warns of the modes of the settings."""
    said = run("lintian", "--allow-root", "--fail-on=error", deb_of(packages, "trixie"))
    warnings = {line.split()[2] for line in said.splitlines()}
    assert warnings - {"unusual-interpreter"} == {"non-standard-dir-perm", "non-standard-file-perm"}


def test_lintian_would_find_an_error(packages: Path, tmp_path: Path) -> None:
    """Lintian finds a package without a copyright file."""
    run("dpkg-deb", "--raw-extract", deb_of(packages, "trixie"), tmp_path / "unpacked")
    for folder in ("usr/share/doc/pbs-exporter", "usr/lib/pbs-exporter"):
        shutil.rmtree(tmp_path / "unpacked" / folder)
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", tmp_path / "unpacked", tmp_path / "wrong.deb")
    ended = attempt("lintian", "--allow-root", "--fail-on=error", "--tags=no-copyright-file", tmp_path / "wrong.deb")
    assert (ended.returncode, "no-copyright-file" in ended.stdout) == (2, True)


def test_packages_of_a_commit_are_always_the_same(packages: Path, tmp_path: Path) -> None:
    """A checkout with another path and umask gives the same bytes."""
    make_packages(tmp_path / "again", clone(tmp_path / "clone", 0o077))
    again = {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()}
    assert len(again) == len(SUITES) + 1
    assert [name for name, content in again.items() if content != (packages / name).read_bytes()] == []


@pytest.mark.parametrize("suite", SUITES)
def test_units_are_those_of_the_checkout(packages: Path, suite: str, tmp_path: Path) -> None:
    """The packages' units differ from those for pip in the program's path, the user and the secret's place alone."""
    run("dpkg-deb", "--extract", deb_of(packages, suite), tmp_path)
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        ours, theirs = unit.read_text().splitlines(), (tmp_path / UNITS / unit.name).read_text().splitlines()
        assert [line for line in theirs if line not in ours] == [
            line.replace("/opt/pbs-exporter/bin", "/usr/bin") for line in ours if line.startswith("ExecStart=")
        ] + ["User=pbs-exporter", "Group=pbs-exporter"]
        assert [line.partition("=")[0] for line in ours if line not in theirs and not line.startswith("#")] == [
            "ExecStart",
            "LoadCredential",
            "Environment",
            "Environment",
            "DynamicUser",
        ]


@pytest.mark.parametrize("suite", SUITES)
def test_settings_name_their_schema(packages: Path, suite: str, tmp_path: Path) -> None:
    """A package's settings are the checkout's sample, whose first line leads to the schema that the package has."""
    run("dpkg-deb", "--extract", deb_of(packages, suite), tmp_path)
    first, _, rest = (tmp_path / SETTINGS.lstrip("/")).read_text(encoding="utf-8").partition("\n")
    assert rest == (ROOT / "settings.toml").read_text(encoding="utf-8").partition("\n")[2]
    schema = tmp_path / first.removeprefix("#:schema file:///")
    assert schema.read_bytes() == (ROOT / "settings.schema.json").read_bytes()


@pytest.mark.parametrize("suite", SUITES)
def test_dependencies_are_the_pinned_ones(packages: Path, suite: str) -> None:
    """A package has the wheel and the pinned version of each dependency, but for those that its Python doesn't need."""
    listed = run("dpkg-deb", "--contents", deb_of(packages, suite))
    parts = {part.lower() for part in re.findall(r"/usr/lib/pbs-exporter/([^/]+)\.dist-info/\n", listed)}
    pinned = re.findall(r"(?m)^([\w.-]+)==([^ ;]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    expected = {f"{name.replace('-', '_')}-{version}" for name, version in pinned}
    later = {part for part in expected if part.startswith("typing_extensions-") and suite != "bookworm"}
    assert later or suite == "bookworm"
    assert parts == expected - later | {f"prometheus_pbs_exporter-{__version__}"}


def test_rpm(packages: Path) -> None:
    """The rpm needs RHEL 10's Python, and keeps its settings at an upgrade."""
    rpm = packages / f"pbs-exporter-{__version__}-1.{platform.machine()}.rpm"
    assert "digests OK" in run("rpm", "--checksig", rpm)
    needed = set(run("rpm", "-qp", "--requires", rpm).splitlines())
    assert {"python(abi) = 3.12", "systemd", "ca-certificates"} <= needed
    shown = run("rpm", "-qp", "--queryformat", "[%{FILENAMES} %{FILEMODES:octal} %{FILEFLAGS:fflags}\n]", rpm)
    files = {line.split(" ")[0]: line.split(" ")[1:] for line in shown.splitlines()}
    assert files[SETTINGS] == ["100640", "cn"]
    assert files["/etc/pbs-exporter"][0] == "40750"
    assert {f"/{UNITS}/{UNIT}", f"/{UNITS}/pbs-exporter@.service", "/usr/lib/sysusers.d/pbs-exporter.conf"} <= set(
        files
    )
    modules = {name for name in files if name.endswith(".so")}
    assert modules
    assert {name.split(".")[1] for name in modules} == {f"cpython-312-{platform.machine()}-linux-gnu", "abi3"}
    assert run("rpm", "-qp", "--queryformat", "%{LICENSE} %{VERSION}", rpm) == f"MIT OR Apache-2.0 {__version__}"
