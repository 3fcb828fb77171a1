"""The wheel, the sdist, and the wheels of the dependencies."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.cache import cached
from tests.support.commands import machine_environment, run
from tests.support.paths import ROOT

_REQUIREMENTS = ROOT / "requirements.txt"


class Built(NamedTuple):
    """The files that `make dist` builds."""

    sdist: Path
    wheel: Path


def make_dist(folder: Path, checkout: Path = ROOT) -> Built:
    """Run `make dist` of a checkout with this environment's Python, and return what it built into `folder`."""
    made = (f"VENV={sys.prefix}", f"--old-file={sys.prefix}/ready")
    run("make", *made, "dist", f"DIST={folder}", cwd=checkout)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel)


def clone(folder: Path, umask: int) -> Path:
    """Clone the checkout's commit under a umask, into a new folder."""
    commit = run("git", "rev-parse", "HEAD").strip()
    before = os.umask(umask)
    try:
        run("git", "clone", "--quiet", "--no-checkout", ROOT, folder)
        run("git", "checkout", "--quiet", "--detach", commit, cwd=folder)
    finally:
        os.umask(before)
    return folder


def download(python: str) -> Path:
    """Download the pinned dependencies as wheels with the pip of `python`, and return their folder."""
    version = run(python, "-c", "import sysconfig; print(sysconfig.get_config_var('SOABI'))").strip()

    def get(folder: Path) -> None:
        hashed = ("--require-hashes", "--only-binary=:all:", "--requirement", _REQUIREMENTS)
        run(python, "-m", "pip", "--quiet", "download", *hashed, "--dest", folder, env=machine_environment())

    return cached(f"wheels-{version}", ("pip download", _REQUIREMENTS.read_text()), get)
