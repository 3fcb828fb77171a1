"""Make the files of the image: `python3 image_root.py DEPENDENCIES PROGRAM SYSTEM`, in the Dockerfile's base.

DEPENDENCIES is a virtual environment, and PROGRAM a folder with the program's own part of it. SYSTEM becomes the root
of an image without a distribution: the interpreter, the modules of the standard library that an import statement of the
program or of a dependency reaches, the shared libraries of all these, the dependencies, and what they are. The modules
in SYSTEM and PROGRAM become bytecode.
"""

import compileall
import ctypes
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import distributions
from modulefinder import Module, ModuleFinder
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import IO, Any

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))

IMPORTED_BY_THE_INTERPRETER = (
    "_compat_pickle",
    "_strptime",
    "_threading_local",
    "encodings",
    "importlib.util",
    "linecache",
    "locale",
    "re",
    "runpy",
    "site",
    "tokenize",
    "traceback",
    "warnings",
    "zoneinfo",
)
"""Modules that C code imports when it needs them."""

UNUSED_MODULES = (
    *("bdb", "cmd", "code", "codeop", "doctest", "idlelib", "pdb", "pydoc", "readline", "rlcompleter", "test"),
    *("_curses", "_pyrepl", "curses", "ensurepip", "multiprocessing", "sqlite3", "tkinter", "turtle", "unittest"),
    *("venv", "webbrowser", "xml", "xmlrpc"),
    # Encodings of East Asia: JSON is UTF-8.
    *("_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp", "_codecs_kr", "_codecs_tw", "_multibytecodec"),
)
"""What import statements reach only for debugging, tests, graphical programs, other servers or other encodings."""

UNUSED_FILES = (
    *("**/__pycache__", "**/*.[ch]", "**/*.p[xy]i", "**/*.p[xy][dx]", "**/*.sh", "**/_testcapi.*"),
    *("opt/*/.gitignore", "opt/*/include", "opt/*/bin/[Aa]ctivate*", "opt/*/bin/dynaconf", "opt/*/bin/idna"),
    # The program reads YAML without libyaml.
    "**/yaml/_yaml.*.so",
)

LOADED_BY_NAME = ("libgcc_s.so.1",)
"""What the C library loads: without it, the end of a thread aborts the process."""

TEXTS = {
    "etc/group": "root:x:0:\npbs-exporter:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\npbs-exporter:x:65532:65532:pbs-exporter:/:/usr/sbin/nologin\n",
}


_IMPORT = """\
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sys.modules)
"""


_Found = tuple[IO[Any] | None, str | None, tuple[str, str, int]]


class Finder(ModuleFinder):
    """The modules that import statements reach, also those in functions."""

    def find_module(self, name: str, path: str | None, parent: Module | None = None) -> _Found:
        """Find a module's file. The base class fails at a folder without `__init__.py`."""
        try:
            return super().find_module(name, path, parent)
        except AttributeError:
            raise ImportError(name) from None


class Root:
    """A folder that becomes a root file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copied: list[Path] = []
        """The files that were added, without links on the way."""

    def add(self, path: Path) -> None:
        """Copy a file to its own path, with each link on the way to it."""
        at = Path("/")
        for number, part in enumerate(path.parts[1:], start=2):
            at /= part
            copy = self.folder / at.relative_to("/")
            if at.is_symlink():
                if not copy.is_symlink():
                    copy.symlink_to(at.readlink())
                self.add(Path(os.path.normpath(at.parent / at.readlink() / Path(*path.parts[number:]))))
                return
            if at.is_dir():
                copy.mkdir(exist_ok=True)
            elif not copy.exists():
                shutil.copy(at, copy)
                self.copied.append(at)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def main(dependencies: Path, program: Path, system: Path) -> None:
    """Fill `system`, and compile `program` where it is."""
    root = Root(system)
    system.mkdir(parents=True)
    shutil.copytree(dependencies, system / dependencies.relative_to("/"), symlinks=True)
    for folder in (system, program):
        for path in [path for pattern in UNUSED_FILES for path in folder.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in _standard_modules(dependencies, program):
        root.add(file)
    root.add(dependencies / "bin" / "python3")
    for file in _libraries([*root.copied, *dependencies.rglob("*.so")]):
        root.add(file)
    _add_settings(root)
    _add_documents(root, dependencies, program)
    (system / "tmp").mkdir()
    (system / "tmp").chmod(0o1777)
    for folder in (system, program):
        _compile(folder)


def _standard_modules(dependencies: Path, program: Path) -> Iterator[Path]:
    """Return the files of the standard library that the program can import."""
    (packages,) = dependencies.glob("lib/python3.*/site-packages")
    (own,) = program.rglob("site-packages")
    folders = [own, packages, STANDARD_LIBRARY, STANDARD_LIBRARY / "lib-dynload"]
    finder = Finder([str(folder) for folder in folders], excludes=UNUSED_MODULES)
    modules = (".".join(file.relative_to(own).with_suffix("").parts) for file in own.rglob("*.py"))
    # Headers of HTTP, and names of hosts, name encodings.
    encodings = (f"encodings.{file.stem}" for file in STANDARD_LIBRARY.glob("encodings/*.py"))
    # What sysconfig reads, whose name has the architecture.
    built = (file.stem for file in STANDARD_LIBRARY.glob("_sysconfigdata*.py"))
    for name in (*modules, *IMPORTED_BY_THE_INTERPRETER, *encodings, *built):
        finder.import_hook(name.removesuffix(".__init__"))
    for name in _imported_by_compiled_modules(dependencies, packages):
        # Some have no file, such as collections.abc.
        with suppress(ImportError):
            finder.import_hook(name)
    files = (getattr(module, "__file__", None) for module in finder.modules.values())
    return (file for file in {Path(file) for file in files if file is not None} if _is_standard(file))


def _is_standard(file: Path) -> bool:
    return file.is_relative_to(STANDARD_LIBRARY) and "site-packages" not in file.parts


def _imported_by_compiled_modules(dependencies: Path, packages: Path) -> list[str]:
    """Return what the compiled modules of the dependencies import: no import statement shows it."""
    files = [path.relative_to(packages) for path in packages.rglob("*.so") if not _is_unused(path)]
    names = [".".join((*file.parent.parts, file.name.partition(".")[0])) for file in files]
    return _output(dependencies / "bin" / "python3", "-c", _IMPORT, *names).split()


def _is_unused(path: Path) -> bool:
    return any(path.match(pattern) for pattern in UNUSED_FILES)


def _libraries(files: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that these files need, with the program that loads them."""
    for name in LOADED_BY_NAME:
        ctypes.CDLL(name)
    loaded = re.findall(r"\s(/\S+)$", Path("/proc/self/maps").read_text(encoding="utf-8"), re.MULTILINE)
    named = {Path(path) for path in loaded if Path(path).name in LOADED_BY_NAME}
    needed = {path for file in files if _is_elf(file) for path in re.findall(r"(/\S+) \(0x", _output("ldd", file))}
    return {Path(path) for path in needed} | named | {Path("/etc/ld.so.cache")}


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _add_settings(root: Root) -> None:
    """Add users, name services and TLS. The Dockerfile copies the certificates."""
    for name, text in TEXTS.items():
        root.write(name, text)
    paths = ssl.get_default_verify_paths()
    for path in (Path("/etc/os-release"), Path(paths.openssl_capath).with_name("openssl.cnf")):
        if path.exists():
            root.add(path)
    for openssl, file in ((paths.openssl_cafile, "ca-certificates.crt"), (paths.openssl_capath, "")):
        link = root.folder / openssl.removeprefix("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path("/etc/ssl/certs", file))


def _add_documents(root: Root, dependencies: Path, program: Path) -> None:
    """Add licences, the list of parts, and what scanners read: Debian's packages and the distributions' metadata."""
    documents = Path("usr", "share", "doc")
    parts = [("generic", "python", platform.python_version())]
    for license_file in STANDARD_LIBRARY.glob("LICENSE.txt"):
        root.write(str(documents / "python" / "copyright"), license_file.read_text(encoding="utf-8"))
    packages = _packages([path.resolve() for path in root.copied] + root.copied)
    for name in packages:
        root.write(f"var/lib/dpkg/status.d/{name}", _output("dpkg-query", "--status", name))
        root.add(Path("/", documents, name, "copyright"))
        version = _output("dpkg-query", "--show", "--showformat=${Version}", name)
        parts.append(("deb/debian", name, version))
    for license_file in sorted(Path("/usr/share/common-licenses").iterdir()):
        root.add(license_file)
    folders = [*dependencies.glob("lib/python3.*/site-packages"), *program.rglob("site-packages")]
    for part in distributions(path=[str(folder) for folder in folders]):
        name = re.sub(r"[-_.]+", "-", part.name).lower()
        parts.append(("pypi", name, part.version))
        for file in part.files or ():
            if ".dist-info" in file.parts[0] and re.match(r"(?i)licen[cs]e|copying|notice", file.name):
                text = Path(str(part.locate_file(file))).read_text(encoding="utf-8")
                root.write(str(documents / name / file.name), text)
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:{kind}/{name}@{version}"}
        for kind, name, version in sorted(parts)
    ]
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    root.write(str(documents / "pbs-exporter" / "sbom.cdx.json"), json.dumps(sbom, indent=2) + "\n")


def _packages(files: Iterable[Path]) -> list[str]:
    """Return Debian's packages that these files are of. Python's own image has its interpreter from no package."""
    found = subprocess.run(  # noqa: S603 - the arguments are ours
        ["dpkg-query", "--search", *map(str, files)],  # noqa: S607 - the base's own
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    owners = re.findall(r"^([a-z0-9][a-z0-9+.-]+)(?::\w+)?: /", found.stdout, re.MULTILINE)
    return sorted({*owners, "ca-certificates"})


def _compile(folder: Path) -> None:
    """Replace modules by their bytecode, which Python doesn't check, and make times those of no build."""
    # No name of a file in a traceback has the folder in it.
    done = compileall.compile_dir(
        folder, quiet=1, legacy=True, stripdir=str(folder), prependdir="/", invalidation_mode=_UNCHECKED
    )
    if not done:
        sys.exit("image_root: a module can't be compiled")
    for module in [path for path in folder.rglob("*.py") if path.is_file()]:
        module.unlink()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0), follow_symlinks=False)


_UNCHECKED = PycInvalidationMode.UNCHECKED_HASH


def _output(*command: str | Path) -> str:
    ended = subprocess.run(  # noqa: S603 - the arguments are ours
        [str(part) for part in command], stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return ended.stdout


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
