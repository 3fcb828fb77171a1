"""The documentation's commands that no other test runs, and those that can't be run here, as far as parsers go."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.deploy.machine import ROOT, Namespace, attempt, environment, eventually, process, run
from tests.deploy.manifests import CHART, kubectl, own, render
from tests.deploy.simulated_pbs import Address, Simulate
from tests.support.documented import Block, block, commands

PAGE = "http://127.0.0.1:9101/metrics"
BIN = Path(sys.executable).parent
NEEDS_A_CLUSTER = [block for block in commands() if block.reason == "needs a cluster"]
LEAST_VALUES = block("deploy/helm/pbs-exporter/README.md: pbs-exporter 1", "yaml")


@pytest.fixture
def settings(namespace: Namespace, simulated_pbs: Simulate, tmp_path: Path) -> Iterator[Address]:
    """Run a simulated PBS, and write the settings.toml of an exporter of it."""
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
    """Run a command that serves, give its page, and end it with Ctrl-C."""
    env = environment()
    env["PATH"] = f"{BIN}:{env['PATH']}"
    shell = namespace.inside("setsid", "bash", "-euo", "pipefail", "-c", text)
    with process(*shell, cwd=folder, env=env, log=log) as running:
        yield eventually(lambda: namespace.try_get(PAGE), "a page", seconds=60)
        os.killpg(running.pid, signal.SIGINT)
        running.wait(20)
        assert namespace.try_get(PAGE) is None


def in_shell(namespace: Namespace, text: str, folder: Path) -> str:
    """Run commands that end, and give what they print."""
    env = environment()
    env["PATH"] = f"{BIN}:{env['PATH']}"
    return run(*namespace.inside("bash", "-euo", "pipefail", "-c", text), cwd=folder, env=env)


def test_make_demo(namespace: Namespace, tmp_path: Path) -> None:
    """`make demo`, as the README has it, serves metrics of a PBS that is up until Ctrl-C."""
    demo, test = block("README.md: Try it 2").splitlines()
    assert (demo, test) == ("make demo", "make test")
    # With this environment instead of one that would be made.
    ready = f"make VENV={sys.prefix} --old-file={sys.prefix}/ready"
    with served(namespace, demo.replace("make", ready, 1), ROOT, tmp_path / "log") as page:
        assert "\npbs_up 1.0\n" in page


@pytest.mark.usefixtures("settings")
def test_check(namespace: Namespace, tmp_path: Path) -> None:
    """The README's check of the token ends well where all is well."""
    assert "\nlogin       ok, as " in in_shell(namespace, block("README.md: Check the token's privileges 1"), tmp_path)


@pytest.mark.usefixtures("settings")
def test_serve(namespace: Namespace, tmp_path: Path) -> None:
    """The README's way to start the exporter with a settings file serves the metrics of that file's PBS."""
    with served(namespace, block("README.md: Minimal configuration 1"), tmp_path, tmp_path / "log") as page:
        assert "\npbs_up 1.0\n" in page


@pytest.mark.usefixtures("settings")
def test_once(namespace: Namespace, tmp_path: Path) -> None:
    """The line in docs/cli.md for node_exporter's textfile collector writes the metrics; here into another folder."""
    text = block("docs/cli.md: once 1")
    folder = "/var/lib/prometheus/node-exporter"
    assert folder in text
    assert in_shell(namespace, text.replace(folder, str(tmp_path)), tmp_path) == ""
    assert "\npbs_up 1.0\n" in (tmp_path / "pbs.prom").read_text()


@pytest.mark.parametrize("documented", NEEDS_A_CLUSTER, ids=str)
def test_commands_for_a_cluster(documented: Block, namespace: Namespace, tmp_path: Path) -> None:
    """The commands for a cluster are ones that kubectl and Helm understand, up to where they would reach it."""
    own(tmp_path, namespace="monitoring")
    for line in documented.text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        if program == "helm":
            command, release, chart, *options = arguments
            assert (command, ROOT / chart) == ("install", CHART)
            assert set(options[::2]) <= {"--namespace", "--values"}
            assert render(yaml.safe_load(LEAST_VALUES), release=release).keys() >= {"Deployment", "Service"}
        elif arguments[0] == "create":
            dry = (*arguments, "--dry-run=client", "--output=yaml")
            assert "\n  token_secret: " in run(kubectl(), *dry, stdin="0000\n")
        else:
            # Without a cluster this is how far it gets: the command line is right, and the objects can be made.
            unreachable = namespace.inside(kubectl(), "--server=http://127.0.0.1:1", *arguments)
            ended = attempt(*unreachable, cwd=tmp_path)
            assert ended.returncode == 1
            assert "connection refused" in ended.stderr, ended.stderr
