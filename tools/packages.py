"""Make the Debian packages and the rpm of the commit that is checked out.

`python -m tools.packages FOLDER NFPM ARCHITECTURE …`

Each has the wheel of `tools.dist` and the pinned dependencies for one Python, which is the system's. The build is
reproducible, as that of the wheel.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import chdir
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from pbs_exporter import __version__
from tools import shell_files
from tools.dist import build, export, warn_of_changes

SOURCE = Path("deploy", "packages")
LIBRARY = "usr/lib/pbs-exporter"
SCHEMA = "settings.schema.json"
MAINTAINER = "The pbs-exporter authors <pbs-exporter@users.noreply.github.com>"


class Package(NamedTuple):
    """A package for one release of a distribution."""

    python: str
    """The version of its system's Python."""
    format: str
    release: str
    """What follows the program's version in the package's."""
    file: str
    """The name of its file, for a version and an architecture."""


class Tree(NamedTuple):
    """The files of a package, as it installs them."""

    root: Path
    package: Package
    architecture: str
    seconds: int
    """The commit's time."""

    @property
    def settings(self) -> Path:
        """The settings file, which nfpm adds with its mode."""
        return self.root.with_suffix(".toml")


PACKAGES = {
    "debian12": Package("3.11", "deb", "1~deb12", "pbs-exporter_{version}_debian12_{architecture}.deb"),
    "debian13": Package("3.13", "deb", "1~deb13", "pbs-exporter_{version}_debian13_{architecture}.deb"),
    # The Python of RHEL 10, which RHEL 9 and Fedora have as a package.
    "rpm": Package("3.12", "rpm", "1", "pbs-exporter-{version}-1.{architecture}.rpm"),
}
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""The names that Debian and rpm have for an architecture."""

_MANYLINUX = ("2014", *(f"_2_{minor}" for minor in range(17, 29)))
"""The platforms of wheels that run on each of the systems: of glibc up to 2.28."""

_UNUSED = (
    "bin",
    "vendor_licenses",
    *(f"**/{name}" for name in ("*.[ch]", "*.p[xy]i", "*.p[xy][dx]", "*.sh", "_testcapi.*")),
    *(f"*.dist-info/{name}" for name in ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")),
    # The program reads YAML without libyaml, for which Debian has a package.
    "yaml/_yaml.*.so",
)
"""What the wheels have, and the program doesn't use."""

_UNIT = {
    r"(?s)\A(?:#[^\n]*\n)+": "",
    "/opt/pbs-exporter/bin/": "/usr/bin/",
    "DynamicUser=yes\n": "User=pbs-exporter\nGroup=pbs-exporter\n",
    # The settings hold the secret, or name its file: they are only for root and this group.
    r"# systemd reads the secret as root[^\n]*\nLoadCredential=[^\n]*\nEnvironment=PBS_EXPORTER__[^\n]*\n": "",
    r"Environment=PYTHONDONTWRITEBYTECODE=1\n": "",
}
"""How the packages' units differ from those for an installation by pip."""

_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: pbs-exporter
Comment: The license texts of the parts in /{library}
 are in the folders *.dist-info there.

Files: *
Copyright: {year} The pbs-exporter authors
License: Expat or Apache-2.0

{parts}
License: Expat
{expat}

License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0;
 it is also in /{library}/prometheus_pbs_exporter-{version}.dist-info.
"""


def main(folder: Path, nfpm: Path, architectures: list[str]) -> None:
    """Make the packages for these architectures, and print their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        built = build(work / "dist")
        export(work / "commit")
        with chdir(work / "commit"):
            for name, package in PACKAGES.items():
                for architecture in architectures:
                    tree = Tree(work / name / architecture, package, architecture, built.seconds)
                    _add_library(tree, built.wheel)
                    _add_system_files(tree)
                    print(_pack(tree, nfpm, folder))
    print(f"  of commit {built.commit}")
    warn_of_changes()


def _add_library(tree: Tree, wheel: Path) -> None:
    """Install the wheel and the pinned dependencies for a package's Python, without what no program imports."""
    target, requirements = tree.root / LIBRARY, tree.root / "requirements.txt"
    target.mkdir(parents=True)
    requirements.write_text(_requirements(tree.package.python))
    machine = ARCHITECTURES[tree.architecture]
    platforms = [f"--platform=manylinux{version}_{machine}" for version in _MANYLINUX]
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", f"--target={target}")
    wanted = ("--no-compile", "--no-deps", "--only-binary=:all:", f"--python-version={tree.package.python}", *platforms)
    _run(*pip, *wanted, "--require-hashes", f"--requirement={requirements}")
    _run(*pip, *wanted, str(wheel))
    requirements.unlink()
    for pattern in _UNUSED:
        for path in target.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _run(f"{machine}-linux-gnu-strip", "--strip-unneeded", *map(str, target.rglob("*.so")))


def _requirements(python: str) -> str:
    """Return the pinned requirements that a Python needs, without markers: pip would read them for its own Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    lines, wanted = [], False
    for line in Path("requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("    --hash") and wanted:
            lines.append(line)
        elif line[:1].isalnum():
            needed = Requirement(line.removesuffix("\\"))
            wanted = needed.marker is None or needed.marker.evaluate(environment)
            lines += [f"{needed.name}{needed.specifier} \\"] * wanted
    return "\n".join(lines)


def _add_system_files(tree: Tree) -> None:
    """Write what belongs into the system's own folders: command, units, user, man page, completions, documents."""
    root, package, seconds = tree.root, tree.package, tree.seconds
    python = "python3" if package.format == "deb" else f"python{package.python}"
    _write(root / "usr/bin/pbs-exporter", (SOURCE / "pbs-exporter").read_text().replace("PYTHON", python), 0o755)
    _write(root / "usr/lib/sysusers.d/pbs-exporter.conf", (SOURCE / "pbs-exporter.sysusers").read_text())
    for unit in Path("deploy", "systemd").iterdir():
        _write(root / "usr/lib/systemd/system" / unit.name, packaged_unit(unit.read_text(encoding="utf-8")))
    for name, text in shell_files.files(
        seconds, "vendor-completions" if package.format == "deb" else "site-functions"
    ).items():
        if name == shell_files.MAN_PAGE:
            _write_packed(root / "usr" / f"{name}.gz", text, seconds)
        else:
            _write(root / "usr" / name, text)
    schema = root / "usr/share/pbs-exporter" / SCHEMA
    _write(schema, Path(SCHEMA).read_text(encoding="utf-8"))
    sample = Path("settings.toml").read_text(encoding="utf-8")
    _write(tree.settings, sample.replace(f"./{SCHEMA}", f"file:///{schema.relative_to(root)}"))
    documents = root / "usr/share/doc/pbs-exporter"
    _write(documents / "copyright", _copyright(root / LIBRARY, seconds))
    _write_packed(documents / "changelog.gz", Path("CHANGELOG.md").read_text(encoding="utf-8"), seconds)
    if package.format == "deb":
        day = format_datetime(datetime.fromtimestamp(seconds, UTC))
        entry = f"pbs-exporter ({__version__}-{package.release}) stable; urgency=medium\n\n  * See changelog.gz.\n\n"
        _write_packed(documents / "changelog.Debian.gz", f"{entry} -- {MAINTAINER}  {day}\n", seconds)
    for path in (tree.settings, root, *root.rglob("*")):
        os.utime(path, (seconds, seconds))


def packaged_unit(text: str) -> str:
    """Return a unit of deploy/systemd as the packages have it."""
    for pattern, replacement in _UNIT.items():
        text, times = re.subn(pattern, replacement, text)
        if times != 1:
            sys.exit(f"packages: {times} times in a unit: {pattern}")
    return text


def _copyright(library: Path, seconds: int) -> str:
    """Return Debian's file of licences, with a paragraph for each dependency."""
    year = datetime.fromtimestamp(seconds, UTC).year
    mit = Path("LICENSE-MIT").read_text(encoding="utf-8").split("\n\n", 2)[2]
    expat = "\n".join(f" {line or '.'}" for line in mit.strip().splitlines())
    parts = "\n".join(_parts(library))
    return _COPYRIGHT.format(library=LIBRARY, year=year, parts=parts, expat=expat, version=__version__)


def _parts(library: Path) -> Iterator[str]:
    for part in sorted(distributions(path=[str(library)]), key=lambda part: part.name.lower()):
        if part.name != "prometheus-pbs-exporter":
            about = f"Copyright: the authors of {part.name} {part.version}\nLicense: {_license(part)}\n"
            yield f"Files: /{LIBRARY}/{part.name}\n{about}"


def _license(part: Distribution) -> str:
    """Return what the metadata of a distribution names as its licence, in a line."""
    fields = part.metadata
    classifiers = [line for line in fields.get_all("Classifier", []) if line.startswith("License :: OSI Approved :: ")]
    licenses = [str(text).partition("\n")[0] for text in fields.get_all("License", [])]
    named = next(filter(None, [*fields.get_all("License-Expression", []), *licenses, *classifiers]))
    return textwrap.shorten(str(named).rpartition(":: ")[2], 80)


def _pack(tree: Tree, nfpm: Path, folder: Path) -> Path:
    """Run nfpm, and return the package's file."""
    package, is_deb = tree.package, tree.package.format == "deb"
    architecture = tree.architecture if is_deb else ARCHITECTURES[tree.architecture]
    target = folder / package.file.format(version=__version__, architecture=architecture)
    major, minor = package.python.split(".")
    debian = (f"python3 (>= {package.python}~)", f"python3 (<< {major}.{int(minor) + 1}~)")
    needed = debian if is_deb else (f"python(abi) = {package.python}", "")
    variables = {
        "ARCH": tree.architecture,
        "MAINTAINER": MAINTAINER,
        "PYTHON_FROM": needed[0],
        "PYTHON_BELOW": needed[1],
        "RELEASE": package.release,
        "ROOT": str(tree.root),
        "SETTINGS": str(tree.settings),
        "SOURCE_DATE_EPOCH": str(tree.seconds),
        "VERSION": __version__,
    }
    config = ("--config", str(SOURCE / "nfpm.yaml"))
    _run(str(nfpm), "package", *config, "--packager", package.format, "--target", str(target), **variables)
    return target


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def _write_packed(file: Path, text: str, seconds: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(text.encode(), 9, mtime=seconds))


def _run(*command: str, **variables: str) -> None:
    ended = subprocess.run(  # noqa: S603 - the arguments are ours
        command, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"{ended.stdout}{ended.stderr}{command[0]}: exit {ended.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3:])
