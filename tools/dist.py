"""Build the sdist, and the wheel from it, of the commit that is checked out: `python -m tools.dist FOLDER`.

The build is reproducible: the path, owner, umask and age of the checkout don't change a byte. Times are the commit's,
modes are git's, and the owner is always root.

With the repository's address in the variable `SOURCE`, the metadata have project URLs, and the README's links lead
there: PyPI shows it.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


class Built(NamedTuple):
    """The files that a build makes, and the commit that they are of."""

    sdist: Path
    wheel: Path
    commit: str
    seconds: int
    """The commit's time."""


def main(folder: Path) -> None:
    """Build both into a folder, and print their paths."""
    built = build(folder)
    print(f"{built.sdist}\n{built.wheel}\n  of commit {built.commit}")
    warn_of_changes()


def build(folder: Path) -> Built:
    """Build both into a folder."""
    os.umask(0o022)
    commit, seconds = checked_out()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        exported, unpacked = work / "exported", work / "unpacked"
        export(exported)
        (exported / "pbs_exporter" / "revision.txt").write_text(f"{commit}\n")
        if source := os.environ.get("SOURCE"):
            _add_addresses(exported, source, commit)
        made = _build("build_sdist", exported, work, seconds)
        folder.mkdir(parents=True, exist_ok=True)
        sdist = folder / made.name
        _normalise(made, sdist, int(seconds))
        _unpack(gzip.decompress(sdist.read_bytes()), unpacked)
        wheel = _build("build_wheel", unpacked / sdist.name.removesuffix(".tar.gz"), work, seconds)
        shutil.copyfile(wheel, folder / wheel.name)
    return Built(sdist, folder / wheel.name, commit, int(seconds))


def _add_addresses(exported: Path, source: str, commit: str) -> None:
    """Write the repository's address into the metadata, and in front of the README's relative links."""
    project, readme = exported / "pyproject.toml", exported / "README.md"
    pages = {"Homepage": "", "Documentation": f"/tree/{commit}/docs", "Changelog": f"/blob/{commit}/CHANGELOG.md"}
    urls = "".join(f'{name} = "{source}{page}"\n' for name, page in {**pages, "Issues": "/issues"}.items())
    project.write_text(project.read_text().replace("[project.scripts]", f"[project.urls]\n{urls}\n[project.scripts]"))
    linked = re.sub(r"(!\[[^\]]*\]\()(?=\w[^):]*\))", rf"\1{source}/raw/{commit}/", readme.read_text())
    readme.write_text(re.sub(r"((?<!!)\[[^\[\]]*\]\()(?=\w[^):]*\))", rf"\1{source}/blob/{commit}/", linked))


def export(folder: Path) -> None:
    """Write the commit's files into a new folder."""
    # Without it, git archive uses the umask of the user's settings.
    _unpack(_git("-c", "tar.umask=0022", "archive", "HEAD"), folder)


def checked_out() -> tuple[str, str]:
    """Return the commit that is checked out, and its time in seconds."""
    commit, seconds = _git("log", "-1", "--format=%H %ct").decode().split()
    return commit, seconds


def warn_of_changes() -> None:
    """Write a warning to standard error if the checkout has changes that the commit, and so a build, lacks."""
    if _git("status", "--porcelain"):
        print("  without uncommitted changes", file=sys.stderr)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603, S607 - the arguments are ours


def _unpack(tar: bytes, folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--no-same-owner"], cwd=folder, input=tar, check=True)  # noqa: S607 - the system's tar


def _build(hook: str, source: Path, work: Path, seconds: str) -> Path:
    """Run a build hook of setuptools, and return the file that it makes."""
    target = work / hook
    target.mkdir()
    ended = subprocess.run(  # noqa: S603 - the arguments are ours
        [sys.executable, "-c", _HOOK, hook, target],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": seconds},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        sys.exit(f"{ended.stdout}{hook}: exit {ended.returncode}")
    (made,) = target.iterdir()
    return made


def _normalise(source: Path, target: Path, seconds: int) -> None:
    """Copy a tar.gz without the metadata that depends on this machine."""
    with (
        tarfile.open(source) as old,
        target.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime = seconds
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
