import json
import os
import shlex
import sys
import time
from pathlib import Path

from tests.deploy.docker_engine import HOST, Docker
from tests.support.commands import process
from tests.support.documented import block
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=64", "--memory=64m")
IN_A_HURRY = ("--health-interval=500ms", "--health-start-period=0s")
"""The image's health check, run more often."""
PUBLISHED = ("--publish", "9101:9101")
PAGE = f"http://{HOST}:9101/metrics"


def variables(settings: dict[str, str]) -> list[str]:
    """Return settings as options of `docker run`."""
    return [f"--env={name}={value}" for name, value in settings.items()]


def words(command: str) -> list[str]:
    """Split a command as a shell does, also across lines."""
    return shlex.split(command.replace("\\\n", " "))


def documented(name: str) -> list[str]:
    """Return the arguments of a documented `docker run` that follow `--detach --name NAME`."""
    arguments = words(block(name))
    assert arguments[:5] == ["docker", "run", "--detach", "--name", "pbs-exporter"]
    return arguments[5:]


def scrape(docker: Docker) -> str:
    """Wait until another machine can scrape the exporter, and return the metrics."""
    return poll(lambda: docker.clients.try_get(PAGE), "a page")


def process_status(docker: Docker, container: str) -> dict[str, str]:
    """Return /proc/PID/status of the container's first process."""
    (pid,) = [docker.inspect(container)["State"]["Pid"]]
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_hardened(docker: Docker, pbs: Address, image: str) -> None:
    """With a read-only root, no capability and 64 MiB of memory, it serves PBS's metrics and is healthy."""
    with docker.running(*HARDENED, *IN_A_HURRY, *PUBLISHED, *variables(pbs.variables), image) as container:
        for _ in range(20):
            page = scrape(docker)
        assert "\npbs_up 1.0\n" in page
        assert "\npbs_snapshot_count{" in page
        poll(lambda: docker.health(container) == "healthy", "a healthy container")
        status = process_status(docker, container)
        assert status["Uid"].split() == ["65532"] * 4
        assert status["Gid"].split() == ["65532"] * 4
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        state = docker.inspect(container)["State"]
        assert (state["Running"], state["OOMKilled"]) == (True, False)
        assert "warning" not in "".join(docker.logs(container)).lower()


def test_any_user(docker: Docker, pbs: Address, image: str) -> None:
    """It runs as any user."""
    user = "--user=12345:54321"
    with docker.running(*HARDENED, user, *PUBLISHED, *variables(pbs.variables), image) as container:
        assert "\npbs_up 1.0\n" in scrape(docker)
        assert process_status(docker, container)["Uid"].split() == ["12345"] * 4


def test_writes_nothing(docker: Docker, pbs: Address, image: str, tmp_path: Path) -> None:
    """It writes no file, not even as root: scrapes and health checks leave the file system unchanged."""
    with docker.running("--user=0:0", *IN_A_HURRY, *PUBLISHED, *variables(pbs.variables), image) as container:
        assert "\npbs_up 1.0\n" in scrape(docker)
        poll(lambda: docker.health(container) == "healthy", "a healthy container")
        assert docker("diff", container) == ""
        # `docker diff` does show a change.
        (tmp_path / "seen").touch()
        docker("cp", tmp_path / "seen", f"{container}:/tmp/seen")
        assert docker("diff", container).splitlines() == ["C /tmp", "A /tmp/seen"]


def test_secret_in_a_file(docker: Docker, pbs: Address, image: str, tmp_path: Path) -> None:
    """The secret can come from /run/secrets, and is in no variable in this case."""
    file = tmp_path / "pbs_token"
    file.write_text(f"{pbs.secret}\n")
    settings = pbs.variables | {"PBS_EXPORTER__PBS__TOKEN_SECRET_FILE": "/run/secrets/pbs_token"}
    del settings["PBS_EXPORTER__PBS__TOKEN_SECRET"]
    mount = f"--volume={file}:/run/secrets/pbs_token:ro"
    with docker.running(*HARDENED, *PUBLISHED, mount, *variables(settings), image) as container:
        assert "\npbs_up 1.0\n" in scrape(docker)
        assert pbs.secret not in json.dumps(docker.inspect(container))
        assert pbs.secret not in "".join(docker.logs(container))


def test_health_with_settings_in_a_file(docker: Docker, pbs: Address, image: str, tmp_path: Path) -> None:
    """The health check uses the listen address of a mounted settings file."""
    file = tmp_path / "settings.toml"
    file.write_text(
        f"""
[pbs]
endpoint = "{pbs.endpoint}"
token_id = "{pbs.token_id}"
token_secret = "{pbs.secret}"
[exporter]
listen_address = "127.0.0.1:9200"
"""
    )
    mounted = (
        f"--volume={file}:/etc/pbs-exporter/settings.toml:ro",
        "--env=PBS_EXPORTER_CONFIG=/etc/pbs-exporter/settings.toml",
    )
    with docker.running(*HARDENED, *IN_A_HURRY, *mounted, image) as container:
        poll(lambda: docker.health(container) == "healthy", "a healthy container")
        assert "127.0.0.1:9200" in "".join(docker.logs(container))


def test_unhealthy(docker: Docker, pbs: Address, image: str) -> None:
    """An exporter that hangs becomes unhealthy, and healthy again afterwards. No health check leaves a process."""
    with docker.running(*HARDENED, *IN_A_HURRY, *variables(pbs.variables), image) as container:
        poll(lambda: docker.health(container) == "healthy", "a healthy container")
        docker("kill", "--signal=STOP", container)
        poll(lambda: docker.health(container) == "unhealthy", "an unhealthy container")
        (last, *_) = reversed(docker.inspect(container)["State"]["Health"]["Log"])
        assert last["ExitCode"] == 1
        assert last["Output"] == "pbs-exporter: no answer on 0.0.0.0:9101: timeout\n"
        docker("kill", "--signal=CONT", container)
        poll(lambda: docker.health(container) == "healthy", "a healthy container")

        def alone() -> bool:
            return len(docker("top", container, "-o", "pid,stat").splitlines()) == 2

        poll(alone, "no process but the exporter", pause=0.02)


def test_ends_in_the_middle_of_a_scrape(docker: Docker, simulated_pbs: Simulate, image: str, tmp_path: Path) -> None:
    """After SIGTERM during a scrape of a slow PBS it exits with 0, before Docker's default of 10 s ends it."""
    with (
        simulated_pbs(docker.machine, HOST, latency=60) as slow,
        docker.running(*HARDENED, *PUBLISHED, *variables(slow.variables), image) as container,
    ):
        poll(lambda: docker.clients.try_get(f"http://{HOST}:9101/health"), "an exporter")
        scraping = docker.clients.inside(sys.executable, "-c", f"import urllib.request as r; r.urlopen('{PAGE}')")
        with process(*scraping, log=tmp_path / "log") as client:
            time.sleep(1)
            assert client.poll() is None
            docker("stop", "--time=10", container)
        state = docker.inspect(container)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_check_inside(docker: Docker, pbs: Address, image: str) -> None:
    """`docker exec … pbs-exporter check` works in a container that has no shell."""
    # A second Python doesn't fit into 64 MiB.
    hardened = ("--read-only", "--cap-drop=ALL", "--memory=128m")
    with docker.running(*hardened, *PUBLISHED, *variables(pbs.variables), image) as container:
        assert "\npbs_up 1.0\n" in scrape(docker)
        ended = docker.attempt("exec", container, "pbs-exporter", "check")
        assert (ended.returncode, pbs.endpoint in ended.stdout) == (0, True), ended.stdout + ended.stderr
        assert docker.attempt("exec", container, "sh", "-c", "true").returncode in {126, 127}


def test_wrong_setting(docker: Docker, pbs: Address, image: str) -> None:
    """With a wrong setting, it exits with 1, and the only line in the log names the setting."""
    wrong = pbs.variables | {"PBS_EXPORTER__PBS__TIMEOUT_SECONDS": "five"}
    with docker.running(*HARDENED, *variables(wrong), image) as container:
        assert docker("wait", container) == "1\n"
        (line,) = docker.logs(container)
    assert line.startswith("pbs-exporter: PBS_EXPORTER__PBS__TIMEOUT_SECONDS: ")


def test_readme(docker: Docker, pbs: Address) -> None:
    """The README's `docker run` with the address and the token of a PBS serves its metrics."""
    arguments = documented("README.md: Docker 1")
    shown = [name for name in pbs.variables if not name.endswith("FINGERPRINT")]
    assert [argument.partition("=")[0] for argument in arguments if argument.startswith("PBS_EXPORTER")] == shown
    own = [f"{name}={pbs.variables[name]}" if (name := part.partition("=")[0]) in shown else part for part in arguments]
    with docker.running(*own):
        assert "\npbs_up 1.0\n" in scrape(docker)


def test_documented_limits(docker: Docker, pbs: Address, tmp_path: Path) -> None:
    """The documentation's `docker run` with limits works; the secret's file is readable for its user alone."""
    file = tmp_path / "pbs_token"
    file.touch(mode=0o400)
    os.chown(file, 65532, 65532)
    file.write_text(pbs.secret)
    own = {
        "PBS_EXPORTER__PBS__ENDPOINT": pbs.endpoint,
        "PBS_EXPORTER__PBS__TOKEN_ID": pbs.token_id,
    }
    arguments = [
        f"{name}={own[name]}" if (name := part.partition("=")[0]) in own else part.replace("./pbs_token", str(file))
        for part in documented("docs/deployment.md: Container 2")
    ]
    assert str(file) in " ".join(arguments)
    with docker.running(*arguments) as container:
        assert "\npbs_up 1.0\n" in scrape(docker)
        host = docker.inspect(container)["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["PidsLimit"]) == (True, ["ALL"], 64)


def test_demo_alone(docker: Docker) -> None:
    """The documentation's `docker run` of the demo shows metrics without a PBS."""
    arguments = words(block("docs/deployment.md: Container 3"))
    assert arguments[:3] == ["docker", "run", "--rm"]
    with docker.running(*arguments[3:]):
        assert "\npbs_up 1.0\n" in scrape(docker)
