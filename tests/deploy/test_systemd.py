"""The systemd unit, in a Debian that booted with systemd."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.distribution import make_dist
from tests.deploy.machine import CA_FILE, ROOT, Namespace, cached, eventually, run
from tests.deploy.podman import Podman
from tests.deploy.simulated_pbs import Address, Simulate
from tests.support.documented import block

UNIT = "pbs-exporter.service"
INSTALLED = f"/etc/systemd/system/{UNIT}"
EXPOSURE = 15
"""The most that `systemd-analyze security` may say, in tenths."""

_BOOTSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=ca-certificates,procps,python3,python3-venv,systemd,systemd-sysv",
    # Nothing of it is of use in a container.
    "--customize-hook=chroot $1 systemctl mask getty.target systemd-logind.service systemd-networkd.service",
    "bookworm",
)
_IMAGE = "localhost/booted:test"


class Booted:
    """A container whose PID 1 is systemd."""

    def __init__(self, podman: Podman, container: str) -> None:
        self.podman = podman
        self.container = container

    def __call__(self, *command: str, stdin: str | None = None) -> str:
        """Run a command in it, which must succeed."""
        return self.podman("exec", "--interactive", self.container, *command, stdin=stdin)

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it."""
        return self.podman.attempt("exec", self.container, *command)

    def script(self, lines: str, stdin: str = "") -> str:
        """Run lines of shell in it, in the checkout."""
        return self("bash", "-euo", "pipefail", "-c", f"cd /checkout\n{lines}", stdin=stdin)

    def properties(self, *names: str) -> dict[str, str]:
        """Give properties of the unit."""
        shown = self("systemctl", "show", UNIT, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def main_pid(self) -> int:
        """Give the ID of the unit's process; 0 where there is none."""
        return int(self.properties("MainPID")["MainPID"])

    def is_up(self) -> bool:
        """Tell whether it has booted; "degraded" is a unit that no container can run."""
        return self.attempt("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}


class Service(NamedTuple):
    """The running unit, in the network that it shares with its PBS."""

    booted: Booted
    network: Namespace
    pbs: Address

    def page(self) -> str | None:
        """Give its metrics, if it answers."""
        return self.network.try_get("http://127.0.0.1:9101/metrics")

    def is_well(self) -> bool:
        """Tell whether it answers, and PBS answers it."""
        return "\npbs_up 1" in (self.page() or "")


@pytest.fixture(scope="module")
def network() -> Iterator[Namespace]:
    """Make the network of the container and of the simulated PBS."""
    with Namespace("pbs-exporter-systemd") as made:
        yield made


@pytest.fixture(scope="module")
def booted(podman: Podman, network: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Boot a Debian 12 with a checkout, after `make dist`, and the wheels that the program needs."""
    folder = cached("booted", _BOOTSTRAP, lambda folder: bootstrap(folder / "booted.tar"))
    podman("import", folder / "booted.tar", _IMAGE)
    checkout = tmp_path_factory.mktemp("checkout")
    make_dist(checkout / "dist")
    shutil.copytree(ROOT / "deploy" / "systemd", checkout / "deploy" / "systemd")
    for name in ("requirements.txt", "settings.toml"):
        shutil.copy(ROOT / name, checkout)
    container = podman(
        "run",
        "--detach",
        "--systemd=always",
        # Root of a real machine has these: systemd mounts what a service sees, and looks into a /proc that it hides.
        "--cap-add=SYS_ADMIN,SYS_PTRACE",
        f"--network=ns:{network.path}",
        f"--volume={checkout}:/checkout:ro",
        f"--volume={wheels(podman)}:/wheels:ro",
        _IMAGE,
        # systemd does this itself where it isn't in a container; without, a service doesn't see its credentials.
        *("sh", "-c", "mount --make-rshared / && exec /sbin/init"),
    ).strip()
    try:
        made = Booted(podman, container)
        eventually(made.is_up, "Debian has booted", seconds=120)
        yield made
    finally:
        podman("rm", "--force", "--time=0", container)


def bootstrap(tar: Path) -> None:
    """Make the image's files."""
    run(*_BOOTSTRAP, tar)


def wheels(podman: Podman) -> Path:
    """Have the image's own pip get the pinned dependencies; gives their folder."""
    requirements = ROOT / "requirements.txt"

    def get(folder: Path) -> None:
        volumes = {CA_FILE: f"{CA_FILE}:ro", requirements: "/requirements.txt:ro", folder: "/wheels"}
        podman(
            "run",
            "--rm",
            "--network=host",
            f"--env=PIP_CERT={CA_FILE}",
            *(f"--volume={outside}:{inside}" for outside, inside in volumes.items()),
            _IMAGE,
            *("bash", "-euc", "python3 -m venv /tmp/venv && /tmp/venv/bin/pip $*", "--", "--quiet", "download"),
            *("--require-hashes", "--only-binary=:all:", "--requirement=/requirements.txt", "--dest=/wheels"),
        )

    return cached("wheels-debian12", (*_BOOTSTRAP, requirements.read_text()), get)


@pytest.fixture(scope="module")
def installed(booted: Booted, network: Namespace, simulated_pbs: Simulate) -> Iterator[Service]:
    """Install and start it with the README's commands. pip finds its wheels in a folder, as there is no network."""
    pip, install = block("README.md: pip 1"), block("README.md: systemd 1")
    start = block("README.md: systemd 2")
    with simulated_pbs(network) as pbs:
        offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1\n"
        booted.script(offline + pip.replace("make dist\n", ""))
        booted.script(install, stdin=f"{pbs.secret}\n")
        settings = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, "fingerprint": pbs.fingerprint}
        lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
        booted.script("cat >/etc/pbs-exporter/settings.toml", stdin=f"[pbs]\n{lines}")
        booted.script(f"trap 'journalctl --no-pager --lines=20' ERR\n{start}")
        yield Service(booted, network, pbs)


@pytest.fixture
def service(installed: Service) -> Service:
    """Have the unit run, and give it."""
    installed.booted("systemctl", "start", UNIT)
    try:
        eventually(installed.is_well, "the page of the simulated PBS", seconds=60)
    except AssertionError as error:
        journal = installed.booted("journalctl", "--unit", UNIT, "--no-pager", "--lines=20")
        raise AssertionError(f"{installed.page()}\n{journal}") from error
    return installed


def test_unit_is_well_formed(installed: Service) -> None:
    """`systemd-analyze verify` has nothing to say about the unit."""
    ended = installed.booted.attempt("systemd-analyze", "verify", "--man=no", UNIT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_verify_would_see_a_mistake(installed: Service) -> None:
    """A setting that systemd doesn't know is something to say."""
    installed.booted.script(f"sed 's/^LockPersonality=/LockPersonalty=/' {INSTALLED} >/run/mistaken.service")
    ended = installed.booted.attempt("systemd-analyze", "verify", "--man=no", "/run/mistaken.service")
    assert "LockPersonalty" in ended.stdout + ended.stderr


def test_unit_is_hardened(installed: Service) -> None:
    """`systemd-analyze security` says 1.5 or less, which the same unit without its hardening doesn't get."""
    score = ("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}")
    ended = installed.booted.attempt(*score, INSTALLED)
    assert ended.returncode == 0, ended.stdout
    installed.booted.script(f"sed '/^Restrict/d' {INSTALLED} >/run/softer.service")
    assert installed.booted.attempt(*score, "/run/softer.service").returncode == 1


def test_serves_its_pbs(service: Service) -> None:
    """The unit serves what its PBS says, and its process's own metrics, which hardening can take away."""
    page = service.page()
    assert page is not None
    assert "\npbs_snapshot_count{" in page
    assert "\nprocess_resident_memory_bytes " in page
    assert service.booted.properties("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    assert service.booted("systemctl", "is-enabled", UNIT).strip() == "enabled"


def test_runs_with_the_least_rights(service: Service) -> None:
    """Its process isn't root's, has no capability, gets none, has a filter of system calls, and can't write."""
    pid = service.booted.main_pid()
    status = dict(line.split(":\t", 1) for line in service.booted("cat", f"/proc/{pid}/status").splitlines())
    assert "0" not in status["Uid"].split()
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (0, 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    mounts = service.booted("cat", f"/proc/{pid}/mountinfo").splitlines()
    options = {mount.split()[4]: mount.split()[5].split(",") for mount in mounts}
    assert "ro" in options["/"]


def test_secret_is_not_shown(service: Service) -> None:
    """The secret is in no property of the unit, no command line, no environment and not in the journal."""
    shown = service.booted("systemctl", "show", UNIT)
    processes = service.booted(
        "bash", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    )
    journal = service.booted("journalctl", "--unit", UNIT, "--no-pager")
    assert f"PBS_EXPORTER__PBS__TOKEN_SECRET_FILE=/run/credentials/{UNIT}/token" in shown
    assert f"PBS_EXPORTER__PBS__TOKEN_SECRET_FILE=/run/credentials/{UNIT}/token" in processes
    assert "msg=started" in journal
    assert [text for text in (shown, processes, journal) if service.pbs.secret in text] == []


def test_secret_is_not_for_others(service: Service) -> None:
    """Root can read the secret's file and systemd's copy of it; another user can read neither."""
    files = ("/etc/pbs-exporter/token", f"/run/credentials/{UNIT}/token")
    for file in files:
        assert service.booted("cat", file) == f"{service.pbs.secret}\n"
        other = service.booted.attempt("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", file)
        assert other.returncode != 0
        assert "Permission denied" in other.stderr


def test_comes_back_after_a_kill(service: Service) -> None:
    """After `kill -9` another process of it serves."""
    pid = service.booted.main_pid()
    service.booted("kill", "-9", str(pid))
    eventually(lambda: service.booted.main_pid() not in {0, pid}, "another process", seconds=60)
    eventually(service.is_well, "the page again", seconds=60)
    assert service.booted.properties("NRestarts")["NRestarts"] != "0"


def test_stops_with_success(service: Service) -> None:
    """`systemctl stop` ends it with exit code 0, by itself, and it stays down."""
    service.booted("systemctl", "stop", UNIT)
    assert service.booted.properties("ActiveState", "Result", "ExecMainCode", "ExecMainStatus") == {
        "ActiveState": "inactive",
        "Result": "success",
        # CLD_EXITED: no signal ended it.
        "ExecMainCode": "1",
        "ExecMainStatus": "0",
    }
    assert service.page() is None


def test_new_secret_is_taken_at_a_restart(service: Service) -> None:
    """A restart takes what the secret's file then holds."""
    token = "/etc/pbs-exporter/token"
    try:
        service.booted.script(f"echo 00000000-0000-0000-0000-000000000000 >{token}\nsystemctl restart {UNIT}")
        eventually(lambda: "\npbs_up 0" in (service.page() or ""), "a refused login", seconds=60)
    finally:
        service.booted.script(f"cat >{token}\nsystemctl restart {UNIT}", stdin=f"{service.pbs.secret}\n")
    eventually(service.is_well, "the page again", seconds=60)
