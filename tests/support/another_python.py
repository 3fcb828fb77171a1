"""The tests on other Pythons: `python -m tests.support.another_python [version …] -- [argument of pytest …]`, as root.

Without a version, they run on each Python of Debian but the one that runs this module. A file instead of a version is a
Debian package of the program: its files are what the tests import and start, and the checkout's have gone.

A run has a root of its own: a Debian, the environment and the checkout are read-only layers below a file system in
memory. So it can't write into the checkout, and leaves nothing behind.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.support.cache import cached
from tests.support.commands import run
from tests.support.paths import ROOT

SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
"""The Pythons that Debian has, and in which suite."""

_REQUIREMENTS = "requirements/dev.txt"
_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
_VARIABLES = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

_ENTER = """\
base=$1 layers=$2 checkout=$3
shift 3
mount -t tmpfs tmpfs "$base"
cd "$base"
mkdir root checkout upper work checkout-upper checkout-work
mount -t overlay overlay root -o "lowerdir=$layers,upperdir=upper,workdir=work"
mount --bind "$checkout" checkout
mkdir root/checkout
mount -t overlay overlay root/checkout -o lowerdir=checkout,upperdir=checkout-upper,workdir=checkout-work
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "root$1"; else mkdir -p "root${1%/*}"; touch "root$1"; fi
    mount --rbind "$1" "root$1"
    shift
done
shift
exec chroot root sh -euc "$@"
"""

_INSTALL = """\
python$1 -m venv /venv
pip --quiet --disable-pip-version-check install --require-hashes --requirement /checkout/requirements/dev.txt
cp -a /venv "$2"
"""

_TEST = """\
ip link set lo up
printf '%s localhost\\n' 127.0.0.1 ::1 >/etc/hosts
cd /checkout
python -c 'import sys; assert sys.version.startswith(sys.argv[1] + "."), sys.version' "$1"
if [ -n "$2" ]; then
    dpkg --install "$2"
    rm -r pbs_exporter
    ln -s /usr/bin/pbs-exporter /venv/bin/pbs-exporter
    export PYTHONPATH=/usr/lib/pbs-exporter
else
    pip --quiet --disable-pip-version-check install --no-index --no-deps --no-build-isolation --editable .
fi
shift 2
exec python -m pytest -p no:cacheprovider "$@"
"""


def main(arguments: Sequence[str]) -> int:
    """Run the tests on each of the Pythons, and return the exit code of the first run that fails, or 0."""
    if "--" not in arguments:
        raise SystemExit("usage: another_python [version …] -- [argument of pytest …]")
    if os.geteuid() != 0:
        raise SystemExit("another_python: needs root, for mounts and chroot")
    versions, ours = arguments[: arguments.index("--")], "{}.{}".format(*sys.version_info)
    for named in versions or [version for version in SUITES if version != ours]:
        version, package = (_python_of(named), named) if named.endswith(".deb") else (named, "")
        print(f"Tests on Python {version} of Debian {SUITES[version]} {package}", file=sys.stderr, flush=True)  # noqa: T201 - progress
        ended = _run_tests(version, package, arguments[len(versions) + 1 :])
        if ended != 0:
            return ended
    return 0


def _python_of(package: str) -> str:
    """Return the Python that a Debian package of the program needs."""
    (version,) = re.findall(r"python3 \(>= ([\d.]+)~\)", run("dpkg-deb", "--field", package, "Depends"))
    return str(version)


def _run_tests(version: str, package: str, arguments: Iterable[str]) -> int:
    """Return pytest's exit code. The tests have a network of their own, which is only a loopback interface."""
    environment = _environment(version, _system(version))
    layers = (environment, _system(version, "python3", "systemd-standalone-sysusers") if package else _system(version))
    file = str(Path(package).absolute()) if package else ""
    script = (_TEST, version, file, *arguments)
    return _inside(layers, *script, variables=_VARIABLES, shared=filter(None, [file]), namespaces=("--mount", "--net"))


def _system(version: str, *more: str) -> Path:
    """Return the folder of a small Debian that has this Python, and more packages."""
    packages = f"--include={','.join((f'python{version}-venv', 'ca-certificates', 'iproute2', 'make', *more))}"
    # Of a suite that is not released, a mirror can be late.
    late = '--aptopt=Acquire::Check-Valid-Until "false"'
    command = ("mmdebstrap", "--quiet", "--variant=minbase", packages, late, SUITES[version])

    def bootstrap(folder: Path) -> None:
        run(*command, folder / "root", seconds=900)

    return cached(f"debian-python{version}{'-packaged' if more else ''}", command, bootstrap) / "root"


def _environment(version: str, root: Path) -> Path:
    """Return the folder with the environment for this Python, in `venv`: the pinned requirements of development."""

    def install(folder: Path) -> None:
        variables = _pip_settings()
        files = ("/etc/hosts", "/etc/resolv.conf", *(value for value in variables.values() if value.startswith("/")))
        script = (_INSTALL, version, str(folder))
        ended = _inside((root,), *script, variables=_VARIABLES | variables, shared=(*files, str(folder)))
        assert ended == 0, f"pip failed on Python {version}"

    recipe = (_INSTALL, str(root), (ROOT / _REQUIREMENTS).read_text(encoding="utf-8"))
    return cached(f"environment-python{version}", recipe, install)


def _pip_settings() -> dict[str, str]:
    """Return variables for how this machine reaches an index, whether files or variables say so."""
    listed = re.findall(r"^\w+\.([\w-]+)=('.*')$", run(sys.executable, "-m", "pip", "config", "list"), re.MULTILINE)
    files = {f"PIP_{name.upper().replace('-', '_')}": str(ast.literal_eval(value)) for name, value in listed}
    ours = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    return {"PIP_CERT": _CA_FILE} | files | ours


def _inside(
    layers: Iterable[Path],
    script: str,
    *arguments: str,
    variables: Mapping[str, str],
    shared: Iterable[str] = (),
    namespaces: Iterable[str] = ("--mount",),
) -> int:
    """Run a script in a root of these layers, the first on top, and return its exit code. All mounts end with it."""
    files = [file for file in ("/dev", "/proc", "/sys", *shared) if Path(file).exists()]
    with tempfile.TemporaryDirectory(prefix="pbs-exporter-root-") as base:
        below = ":".join(map(str, layers))
        entered = ("sh", "-euc", _ENTER, "--", base, below, str(ROOT), *files, "--", script, "--", *arguments)
        command = ("unshare", *namespaces, *entered)
        return subprocess.run(command, env=dict(variables), check=False).returncode  # noqa: S603 - tests say what is run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
