"""Documented commands that no other test runs. Those that need a cluster are parsed only."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import CHART, kubectl, own, render
from tests.support.commands import attempt, environment, process, run
from tests.support.documented import Block, block, commands
from tests.support.network_namespace import Namespace
from tests.support.paths import ROOT
from tests.support.simulated_pbs import Address, Simulate
from tests.support.waiting import poll

PAGE = "http://127.0.0.1:9101/metrics"
BIN = Path(sys.executable).parent
NEEDS_A_CLUSTER = [block for block in commands() if block.reason == "needs a cluster"]
LEAST_VALUES = block("deploy/helm/pbs-exporter/README.md: pbs-exporter 1", "yaml")


@pytest.fixture
def settings(namespace: Namespace, simulated_pbs: Simulate, tmp_path: Path) -> Iterator[Address]:
    """Run a simulated PBS, and write a settings.toml for it."""
    with simulated_pbs(namespace) as pbs:
        values = {
            "endpoint": pbs.endpoint,
            "token_id": pbs.token_id,
            "token_secret": pbs.secret,
            "fingerprint": pbs.fingerprint,
        }
        lines = "".join(f'{key} = "{value}"\n' for key, value in values.items())
        (tmp_path / "settings.toml").write_text(f"[pbs]\n{lines}")
        yield pbs


@contextmanager
def served(namespace: Namespace, text: str, folder: Path, log: Path) -> Iterator[str]:
    """Run a server, yield its metrics, and end it with Ctrl-C."""
    env = environment()
    env["PATH"] = f"{BIN}:{env['PATH']}"
    shell = namespace.inside("setsid", "bash", "-euo", "pipefail", "-c", text)
    with process(*shell, cwd=folder, env=env, log=log) as running:
        yield poll(lambda: namespace.try_get(PAGE), "a page", seconds=60)
        os.killpg(running.pid, signal.SIGINT)
        running.wait(20)
        assert namespace.try_get(PAGE) is None


def in_shell(namespace: Namespace, text: str, folder: Path) -> str:
    """Run commands to their end, and return their output."""
    env = environment()
    env["PATH"] = f"{BIN}:{env['PATH']}"
    return run(*namespace.inside("bash", "-euo", "pipefail", "-c", text), cwd=folder, env=env)


def test_make_demo(namespace: Namespace, tmp_path: Path) -> None:
    """`make demo`, as in the README, serves metrics of a PBS that is up, until Ctrl-C."""
    demo, test = block("README.md: Try it 2").splitlines()
    assert (demo, test) == ("make demo", "make test")
    # Make uses this environment instead of creating one.
    ready = f"make VENV={sys.prefix} --old-file={sys.prefix}/ready"
    with served(namespace, demo.replace("make", ready, 1), ROOT, tmp_path / "log") as page:
        assert "\npbs_up 1.0\n" in page


@pytest.mark.usefixtures("settings")
def test_check(namespace: Namespace, tmp_path: Path) -> None:
    """The README's check of the token succeeds if nothing is wrong."""
    assert "\nlogin       ok, as " in in_shell(namespace, block("README.md: Check the token's privileges 1"), tmp_path)


@pytest.mark.usefixtures("settings")
def test_serve(namespace: Namespace, tmp_path: Path) -> None:
    """The README's command with a settings file serves the metrics of that file's PBS."""
    with served(namespace, block("README.md: Minimal configuration 1"), tmp_path, tmp_path / "log") as page:
        assert "\npbs_up 1.0\n" in page


@pytest.mark.usefixtures("settings")
def test_once(namespace: Namespace, tmp_path: Path) -> None:
    """The line in docs/cli.md for node_exporter's textfile collector writes the metrics, here to another folder."""
    text = block("docs/cli.md: once 1")
    folder = "/var/lib/prometheus/node-exporter"
    assert folder in text
    assert in_shell(namespace, text.replace(folder, str(tmp_path)), tmp_path) == ""
    assert "\npbs_up 1.0\n" in (tmp_path / "pbs.prom").read_text()


@pytest.mark.parametrize("documented", NEEDS_A_CLUSTER, ids=str)
def test_commands_for_a_cluster(documented: Block, namespace: Namespace, tmp_path: Path) -> None:
    """Kubectl and Helm understand the commands for a cluster, up to the connection to it."""
    own(tmp_path, namespace="monitoring")
    for line in documented.text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        if program == "helm":
            command, release, chart, *options = arguments
            assert (command, ROOT / chart) == ("install", CHART)
            assert set(options[::2]) <= {"--namespace", "--values"}
            assert render(yaml.safe_load(LEAST_VALUES), release=release).keys() >= {"Deployment", "Service"}
        elif arguments[0] == "create":
            (tmp_path / "tokens").mkdir()
            (tmp_path / "tokens" / "token_secret").write_text("0000\n")
            here = [argument.replace("/etc/pbs-exporter", str(tmp_path)) for argument in arguments]
            dry = (*here, "--dry-run=client", "--output=yaml")
            assert "\n  token_secret: " in run(kubectl(), *dry, stdin="0000\n")
        else:
            # Without a cluster, this shows that the command line is right and the objects can be built.
            unreachable = namespace.inside(kubectl(), "--server=http://127.0.0.1:1", *arguments)
            ended = attempt(*unreachable, cwd=tmp_path)
            assert ended.returncode == 1
            assert "connection refused" in ended.stderr, ended.stderr
