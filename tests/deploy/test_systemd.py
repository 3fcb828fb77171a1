"""The systemd unit, in a Debian container booted by systemd."""

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.booted import UNIT, Booted, booted_image, bootstrap, image
from tests.deploy.distribution import make_dist
from tests.deploy.podman import CA_FILE, Podman
from tests.support.cache import cached
from tests.support.documented import block
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

SUITE = "bookworm"
INSTALLED = f"/etc/systemd/system/{UNIT}"
EXPOSURE = 15
"""The highest allowed score of `systemd-analyze security`, in tenths."""


class Service(NamedTuple):
    """The running unit, in the network namespace that it shares with its PBS."""

    booted: Booted
    network: Namespace
    pbs: Address

    def page(self) -> str | None:
        """Return its metrics, or `None` if it doesn't answer."""
        return self.network.try_get("http://127.0.0.1:9101/metrics")

    def is_well(self) -> bool:
        """Whether it answers, and PBS is up."""
        return "\npbs_up 1" in (self.page() or "")


@pytest.fixture(scope="module")
def network() -> Iterator[Namespace]:
    """Make the network namespace of the container and of the simulated PBS."""
    with Namespace("pbs-exporter-systemd") as made:
        yield made


@pytest.fixture(scope="module")
def booted(podman: Podman, network: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Boot a Debian 12 that has a checkout after `make dist`, and the wheels of the dependencies."""
    name = image(podman, SUITE)
    checkout = tmp_path_factory.mktemp("checkout")
    make_dist(checkout / "dist")
    shutil.copytree(ROOT / "deploy" / "systemd", checkout / "deploy" / "systemd")
    for file in ("requirements.txt", "settings.toml"):
        shutil.copy(ROOT / file, checkout)
    with booted_image(podman, name, network, checkout, {wheels(podman, name): "/wheels"}) as made:
        yield made


def wheels(podman: Podman, name: str) -> Path:
    """Download the pinned dependencies with the image's pip, and return their folder."""
    requirements = ROOT / "requirements.txt"

    def get(folder: Path) -> None:
        volumes = {CA_FILE: f"{CA_FILE}:ro", requirements: "/requirements.txt:ro", folder: "/wheels"}
        podman(
            "run",
            "--rm",
            "--network=host",
            f"--env=PIP_CERT={CA_FILE}",
            *(f"--volume={outside}:{inside}" for outside, inside in volumes.items()),
            name,
            *("bash", "-euc", "python3 -m venv /tmp/venv && /tmp/venv/bin/pip $*", "--", "--quiet", "download"),
            *("--require-hashes", "--only-binary=:all:", "--requirement=/requirements.txt", "--dest=/wheels"),
        )

    return cached("wheels-debian12", (*bootstrap(SUITE), requirements.read_text()), get)


@pytest.fixture(scope="module")
def installed(booted: Booted, network: Namespace, simulated_pbs: Simulate) -> Iterator[Service]:
    """Install and start the unit with the documented commands. pip finds its wheels in a folder, without a network."""
    pip, install = block("docs/install.md: pip 1"), block("docs/install.md: systemd 1")
    start = block("docs/install.md: systemd 2")
    with simulated_pbs(network) as pbs:
        offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1\n"
        booted.script(offline + pip.replace("make dist\n", ""))
        booted.script(install, stdin=f"{pbs.secret}\n")
        booted.script("cat >/etc/pbs-exporter/settings.toml", stdin=settings_of(pbs))
        booted.script(f"trap 'journalctl --no-pager --lines=20' ERR\n{start}")
        yield Service(booted, network, pbs)


@pytest.fixture
def service(installed: Service) -> Service:
    """Return the unit, running."""
    installed.booted("systemctl", "start", UNIT)
    try:
        poll(installed.is_well, "the page of the simulated PBS", seconds=60)
    except AssertionError as error:
        journal = installed.booted("journalctl", "--unit", UNIT, "--no-pager", "--lines=20")
        raise AssertionError(f"{installed.page()}\n{journal}") from error
    return installed


def test_unit_is_well_formed(installed: Service) -> None:
    """`systemd-analyze verify` finds nothing in the unit."""
    ended = installed.booted.attempt("systemd-analyze", "verify", "--man=no", UNIT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_verify_would_see_a_mistake(installed: Service) -> None:
    """`systemd-analyze verify` finds an unknown setting."""
    installed.booted.script(f"sed 's/^LockPersonality=/LockPersonalty=/' {INSTALLED} >/run/mistaken.service")
    ended = installed.booted.attempt("systemd-analyze", "verify", "--man=no", "/run/mistaken.service")
    assert "LockPersonalty" in ended.stdout + ended.stderr


def test_unit_is_hardened(installed: Service) -> None:
    """`systemd-analyze security` scores 1.5 or less, and more for the unit without its hardening."""
    score = ("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}")
    ended = installed.booted.attempt(*score, INSTALLED)
    assert ended.returncode == 0, ended.stdout
    installed.booted.script(f"sed '/^Restrict/d' {INSTALLED} >/run/softer.service")
    assert installed.booted.attempt(*score, "/run/softer.service").returncode == 1


def test_serves_its_pbs(service: Service) -> None:
    """The unit serves PBS's metrics, and those of its own process, which hardening could prevent."""
    page = service.page()
    assert page is not None
    assert "\npbs_snapshot_count{" in page
    assert "\nprocess_resident_memory_bytes " in page
    assert service.booted.properties("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    assert service.booted("systemctl", "is-enabled", UNIT).strip() == "enabled"


def test_runs_with_the_least_rights(service: Service) -> None:
    """Its process isn't root, has no capability and can't gain one, filters system calls, and can't write."""
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
    """After `kill -9` a new process serves."""
    pid = service.booted.main_pid()
    service.booted("kill", "-9", str(pid))
    poll(lambda: service.booted.main_pid() not in {0, pid}, "another process", seconds=60)
    poll(service.is_well, "the page again", seconds=60)
    assert service.booted.properties("NRestarts")["NRestarts"] != "0"


def test_stops_with_success(service: Service) -> None:
    """After `systemctl stop` it exits by itself with code 0, and stays down."""
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
    """After a restart the unit uses the secret that its file holds."""
    token = "/etc/pbs-exporter/token"
    try:
        service.booted.script(f"echo 00000000-0000-0000-0000-000000000000 >{token}\nsystemctl restart {UNIT}")
        poll(lambda: "\npbs_up 0" in (service.page() or ""), "a refused login", seconds=60)
    finally:
        service.booted.script(f"cat >{token}\nsystemctl restart {UNIT}", stdin=f"{service.pbs.secret}\n")
    poll(service.is_well, "the page again", seconds=60)


def settings_of(pbs: Address, section: str = "pbs", **more: str) -> str:
    """Return a section of a settings file for a PBS."""
    keys = {"endpoint": pbs.endpoint, "token_id": pbs.token_id, "fingerprint": pbs.fingerprint, **more}
    return f"[{section}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def test_reload_reads_the_settings(service: Service) -> None:
    """`systemctl reload` adds a target without another process; wrong settings are in the log, and change nothing."""
    file = "/etc/pbs-exporter/settings.toml"
    before, pid = service.booted("cat", file), service.booted.main_pid()
    probe = "http://127.0.0.1:9101/probe?target=one"
    credential = f"/run/credentials/{UNIT}/token"
    try:
        target = settings_of(service.pbs, "targets.one", token_secret_file=credential)
        service.booted.script(f"cat >{file}\nsystemctl reload {UNIT}", stdin=f"{before}\n{target}")
        poll(lambda: "\npbs_up 1" in (service.network.try_get(probe) or ""), "the target")
        service.booted.script(f"echo '[targets.One]' >>{file}\nsystemctl reload {UNIT}")
        journal = ("journalctl", "--unit", UNIT, "--no-pager")
        poll(lambda: "[targets.One] in" in service.booted(*journal), "a line about the wrong name")
        assert "\npbs_up 1" in service.network.get(probe)
    finally:
        service.booted.script(f"cat >{file}\nsystemctl reload {UNIT}", stdin=before)
    poll(lambda: "there is no such target" in service.network.get(probe), "the end of the target")
    assert service.booted.main_pid() == pid


def test_many_targets(service: Service) -> None:
    """With the documented drop-in, the unit reads the secrets of targets from files that only root and it can read.

    A further target, with a further file, needs only a reload.
    """
    commands = block("docs/many-servers.md: The service 1")
    add = block("docs/many-servers.md: Add and remove a server 1")
    add = add.replace("https://pbs-vie5.example.com:8007", service.pbs.endpoint)
    add = re.sub(r'(?<=fingerprint = ").*(?=")', service.pbs.fingerprint, add)
    file, folder = "/etc/pbs-exporter/settings.toml", "/etc/pbs-exporter/tokens"
    before = service.booted("cat", file)
    targets = [
        settings_of(service.pbs, f"targets.{name}", token_secret_file=f"{folder}/{name}") for name in ("vie3", "vie4")
    ]
    shared = f'[pbs]\ntoken_id = "{service.pbs.token_id}"\n'

    def is_up(name: str) -> bool:
        return "\npbs_up 1" in (service.network.try_get(f"http://127.0.0.1:9101/probe?target={name}") or "")

    try:
        service.booted.script(
            f"install -d -m 700 {folder}\numask 077\ntee {folder}/vie3 {folder}/vie5 >{folder}/vie4", service.pbs.secret
        )
        service.booted.script(f"cat >{file}", stdin="".join([shared, *targets]))
        service.booted("systemctl", "stop", UNIT)
        service.booted.script(commands)
        for name in ("vie3", "vie4"):
            poll(partial(is_up, name), name, seconds=60)
        # As the loop makes it.
        service.booted.script(f"chown root: {folder}/vie5\nchmod 600 {folder}/vie5")
        pid = service.booted.main_pid()
        service.booted.script(f"export PATH=/opt/pbs-exporter/bin:$PATH\n{add}")
        poll(partial(is_up, "vie5"), "the new target", seconds=60)
        assert service.booted.main_pid() == pid
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        assert service.booted.attempt(*user, "cat", f"{folder}/vie5").returncode != 0
        assert service.booted.attempt("systemd-analyze", "verify", "--man=no", UNIT).stderr == ""
    finally:
        service.booted.script(f"rm -r /etc/systemd/system/{UNIT}.d\ncat >{file}", stdin=before)
        service.booted.script(f"systemctl daemon-reload\nsystemctl restart {UNIT}")


def test_instances() -> None:
    """The unit for several exporters is the plain one, but for its name, its settings file and its secret's file."""
    plain, template = (
        [line for line in (ROOT / "deploy" / "systemd" / name).read_text().splitlines() if not line.startswith("#")]
        for name in (UNIT, "pbs-exporter@.service")
    )
    expected = [
        line.replace("/etc/pbs-exporter/settings.toml", "/etc/pbs-exporter/%i.toml")
        .replace("/etc/pbs-exporter/token", "/etc/pbs-exporter/%i.token")
        .replace("Backup Server", "Backup Server: %i")
        for line in plain
    ]
    assert template == expected


def test_instance_beside_the_plain_unit(service: Service) -> None:
    """An instance, started as the documentation shows, serves the PBS of its own file beside the plain unit."""
    install = block("docs/many-servers.md: Several exporters on a host 1")
    start = block("docs/many-servers.md: Several exporters on a host 2")
    instance = "pbs-exporter@zurich.service"
    own = settings_of(service.pbs) + '[exporter]\nlisten_address = "127.0.0.1:9102"\n'
    try:
        service.booted.script(install, stdin=f"{service.pbs.secret}\n")
        service.booted.script("cat >/etc/pbs-exporter/zurich.toml", stdin=own)
        verified = service.booted.attempt("systemd-analyze", "verify", "--man=no", instance)
        assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
        service.booted.script(start)
        page = poll(lambda: service.network.try_get("http://127.0.0.1:9102/metrics"), "a page", seconds=60)
        assert "\npbs_up 1" in page
        assert service.is_well()
        shown = service.booted("systemctl", "show", instance)
        assert f"PBS_EXPORTER__PBS__TOKEN_SECRET_FILE=/run/credentials/{instance}/token" in shown
        service.booted("systemctl", "stop", instance)
        assert service.is_well()
    finally:
        service.booted("systemctl", "disable", "--now", instance)
