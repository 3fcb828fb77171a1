import ast
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documented import MARKDOWN, Block, blocks_of, commands
from tests.support.paths import ROOT

DEPLOY = "tests/deploy"
STARTED = f"{DEPLOY}/test_getting_started.py"
RUN_BY = {
    "README.md: Try it 1": [f"{DEPLOY}/test_compose.py::test_demo"],
    # A test can't run all tests.
    "README.md: Try it 2": [f"{DEPLOY}/test_documented.py::test_make_demo", ".ci/run"],
    "README.md: Build the image 1": [f"{DEPLOY}/test_image.py::test_docker_build"],
    "README.md: Docker 1": [f"{DEPLOY}/test_container.py::test_readme"],
    "README.md: Compose 1": [f"{DEPLOY}/test_compose.py::test_alone"],
    "README.md: Compose 2": [f"{DEPLOY}/test_compose.py::test_alone"],
    "docs/install.md: pip 1": [
        f"{DEPLOY}/test_dist.py::test_documented_commands_install_the_wheel",
        f"{DEPLOY}/test_systemd.py::test_unit_is_well_formed",
    ],
    "docs/install.md: pipx and uv 1": [f"{DEPLOY}/test_dist.py::test_tools_install_the_wheel"],
    "docs/install.md: pipx and uv 2": [f"{DEPLOY}/test_dist.py::test_tools_install_the_wheel"],
    "README.md: Debian package 1": [f"{DEPLOY}/test_packages.py::test_runs_as_its_user"],
    "README.md: Debian package 2": [f"{DEPLOY}/test_packages.py::test_runs_as_its_user"],
    "docs/install.md: Debian package 1": [f"{DEPLOY}/test_packages.py::test_instance"],
    "docs/install.md: systemd 1": [f"{DEPLOY}/test_systemd.py::test_unit_is_well_formed"],
    "docs/install.md: systemd 2": [f"{DEPLOY}/test_systemd.py::test_unit_is_well_formed"],
    "docs/deployment.md: Quick start 1": [f"{DEPLOY}/test_kubernetes.py::test_quick_start_works"],
    "README.md: Kubernetes 1": [f"{DEPLOY}/test_helm_readme.py::test_readme_command_works"],
    "README.md: Check the token's privileges 1": [f"{DEPLOY}/test_documented.py::test_check"],
    "README.md: Minimal configuration 1": [f"{DEPLOY}/test_documented.py::test_serve"],
    "docs/cli.md: once 1": [f"{DEPLOY}/test_documented.py::test_once"],
    "docs/cli.md: once 2": [f"{DEPLOY}/test_many_servers.py::test_once"],
    "docs/alerts.md": ["tests/monitoring/test_alert_docs.py::test_silences_can_be_made"],
    "docs/dashboards.md: Change them 1": [
        "tests/monitoring/test_documented_dashboards.py::test_dashboards_are_made_as_the_page_says",
        ".ci/run",
    ],
    "docs/deployment.md: Container 2": [f"{DEPLOY}/test_container.py::test_documented_limits"],
    "docs/deployment.md: Container 3": [f"{DEPLOY}/test_container.py::test_demo_alone"],
    "docs/deployment.md: Compose 1": [f"{DEPLOY}/test_compose.py::test_alone_is_checked"],
    "docs/getting-started.md: Five minutes with the demo 1": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 2": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 3": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 4": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 5": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 6": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Five minutes with the demo 7": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Simulate an outage 1": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Simulate an outage 2": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Simulate an outage 3": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: Simulate an outage 4": [f"{STARTED}::test_demo"],
    "docs/getting-started.md: With your own PBS 1": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    "docs/getting-started.md: With your own PBS 2": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    "docs/getting-started.md: Set another age limit 1": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    "docs/getting-started.md: Silence an alert 1": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    "docs/getting-started.md: Notifications 1": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    "docs/getting-started.md: Notifications 2": [f"{DEPLOY}/test_own_pbs.py::test_own_pbs"],
    **{
        f"docs/many-servers.md: {name}": [f"{DEPLOY}/test_many_servers.py::test_page"]
        for name in (
            "Tokens 1",
            "Settings of the targets 1",
            "Look 1",
            "Look 2",
            "Add and remove a server 1",
            "Add and remove a server 2",
        )
    },
    "docs/many-servers.md: The service 1": [f"{DEPLOY}/test_systemd.py::test_many_targets"],
    "docs/many-servers.md: Containers 1": [f"{DEPLOY}/test_compose.py::test_targets"],
    "docs/many-servers.md: Containers 2": [f"{DEPLOY}/test_compose.py::test_targets"],
    "docs/many-servers.md: Several exporters on a host 1": [
        f"{DEPLOY}/test_systemd.py::test_instance_beside_the_plain_unit"
    ],
    "docs/many-servers.md: Several exporters on a host 2": [
        f"{DEPLOY}/test_systemd.py::test_instance_beside_the_plain_unit"
    ],
    **{
        f"docs/history.md: {name}": ["tests/monitoring/test_history.py::test_the_forecast_answers_on_the_first_day"]
        for name in (
            "Bring it into Prometheus 1",
            "Bring it into Prometheus 2",
            "Bring it into Prometheus 3",
            "Several PBS 1",
        )
    },
    "docs/getting-started.md: With your own Prometheus 1": [f"{STARTED}::test_own_prometheus"],
    "docs/getting-started.md: With your own Prometheus 2": [f"{STARTED}::test_own_prometheus"],
}
"""The tests that run each block of commands as it is on its page, or the script that has one of its lines.

The name of a page alone means all its blocks.
A block that is the same on two pages is here once. The page's source marks a block that no test runs.
"""

COMMANDS = commands()
BY_NAME = {str(block): block for block in COMMANDS}
MARKED = [block for block in COMMANDS if block.reason is not None]


def test_every_block_is_run_or_marked() -> None:
    """Each block of commands in the documentation is run by a test, or has a mark with the reason why not.

    No block has both, and each name in the table is that of a block.
    """
    run = {block.text for block in COMMANDS if {str(block), block.page} & RUN_BY.keys()}
    marked = {block.text for block in MARKED}
    assert len(BY_NAME) == len(COMMANDS)
    assert [str(block) for block in COMMANDS if block.text not in run | marked] == []
    assert [str(block) for block in COMMANDS if block.text in run & marked] == []
    assert RUN_BY.keys() - BY_NAME.keys() - {block.page for block in COMMANDS} == set()


@pytest.mark.parametrize(("name", "credit"), [(name, credit) for name, tests in RUN_BY.items() for credit in tests])
def test_credits_are_honest(name: str, credit: str) -> None:
    """A test that the table names exists, and its file names the block, or its page and heading.

    A test that runs a whole page names it, or imports a module that does. A script has one of the block's lines.
    """
    file, _, function = credit.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    if not function:
        # A script may add arguments.
        assert [line for line in BY_NAME[name].text.splitlines() if f"\n{line} " in source.replace("\n", " \n")]
        return
    assert function.startswith("test_")
    assert function in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    strings = strings_of(source)
    if name in BY_NAME:
        block = BY_NAME[name]
        assert name in strings or {block.page, block.heading} <= strings
    else:
        beside = [(ROOT / file).with_name(f"{module}.py") for module in imports_of(source)]
        texts = [module.read_text(encoding="utf-8") for module in beside if module.exists()]
        assert Path(name).name in strings.union(*map(strings_of, texts))


def strings_of(source: str) -> set[object]:
    """Return the constants in a module's source."""
    return {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}


def imports_of(source: str) -> set[str]:
    """Return the names that a module's source imports from packages, including modules."""
    return {alias.name for node in ast.parse(source).body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("block", MARKED, ids=[f"{block} ({block.reason})" for block in MARKED])
def test_marked_block(block: Block) -> None:
    """The mark of a block that no test runs says what the test would need, and bash can parse the block."""
    assert re.fullmatch(r"needs \S.*\w", block.reason or "")
    checked = subprocess.run(["/bin/bash", "-n"], input=block.text, capture_output=True, encoding="utf-8", check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def benchmark_lines() -> list[list[str]]:
    """Return the module and the arguments of each benchmark in the documentation."""
    lines = [shlex.split(line) for block in COMMANDS for line in block.text.replace("\\\n", " ").splitlines()]
    made = [line[2:] for line in lines if line[:2] == ["make", "bench"]]
    found = [["benchmarks", *shlex.split(line[0].removeprefix("ARGS=") if line else "")] for line in made]
    return found + [line[2:] for line in lines if line[:2] == [".venv/bin/python", "-m"]]


@pytest.mark.parametrize("arguments", benchmark_lines(), ids=" ".join)
def test_benchmark_lines_are_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each benchmark accepts its command lines in the documentation."""
    module, *options = arguments
    # Help is printed only if the arguments before it are right.
    for end, code in (("--help", 0), ("--no-such-option", 2)):
        monkeypatch.setattr(sys, "argv", [module, *options, end])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__")
        assert ended.value.code == code


def test_marks_are_of_blocks() -> None:
    """Each mark is directly in front of a block of commands."""
    pages = {block.page for block in COMMANDS}
    marks = sum((ROOT / page).read_text(encoding="utf-8").count("<!-- not run") for page in pages)
    assert marks == len(MARKED)


def test_blocks_are_found() -> None:
    """Blocks are named by page, heading and number. A mark applies only to the block that follows it."""
    page = (
        "# One\n```sh\na\n```\n<!-- not run: needs x -->\n\n```sh\nb\n```\n"
        "## Two\n1. item\n\n   ```sh\n   c \\\n       d\n   ```\n```text\n# no heading\n```\n```sh\ne\n```\n"
    )
    found = [(str(block), block.language, block.text, block.reason) for block in blocks_of("p.md", page)]
    assert found == [
        ("p.md: One 1", "sh", "a\n", None),
        ("p.md: One 2", "sh", "b\n", "needs x"),
        ("p.md: Two 1", "sh", "c \\\n    d\n", None),
        ("p.md: Two 1", "text", "# no heading\n", None),
        ("p.md: Two 2", "sh", "e\n", None),
    ]


def test_every_fence_is_known() -> None:
    """Every block of code has a language, so that no block of commands is missed."""
    assert [str(page) for page in MARKDOWN if _bare_fences(page)] == []


def _bare_fences(page: Path) -> list[str]:
    fences = re.findall(r"^ *```.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [fence for fence in fences[::2] if not re.fullmatch(r" *```(sh|text|toml|yaml|ini|python|promql)", fence)]
