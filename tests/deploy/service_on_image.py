"""The tests of the service on the image: `python -m tests.deploy.service_on_image [argument of pytest …]`, as root.

The tests run outside of the image, and start the program with the image's files as its root. Of the machine it has
only the folders in which the tests have their files.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.deploy.podman import Podman, build_image, import_base_image
from tests.support.commands import tool
from tests.support.paths import ROOT

_ENTER = """\
base=$1 image=$2 program=$3
shift 3
mount -t tmpfs tmpfs "$base"
mkdir "$base/root" "$base/upper" "$base/work"
mount -t overlay overlay "$base/root" -o "lowerdir=$image,upperdir=$base/upper,workdir=$base/work"
while [ "$1" != -- ]; do
    mkdir -p "$base/root$1"
    mount --bind "$1" "$base/root$1"
    shift
done
shift
# As each runtime of containers does.
cp /etc/hosts "$base/root/etc/hosts"
cat >"$base/pbs-exporter"
chmod +x "$base/pbs-exporter"
# The tests start the program of their environment: here it is the image's.
mount --bind "$base/pbs-exporter" "$program"
exec "$@" </dev/null
"""


_PROGRAM = """\
#!{python} -IS
import os, sys
folder = os.getcwd()
os.environ.update(line.split("=") for line in {variables!r})
os.chroot({root!r})
os.chdir(folder)
os.execv("/opt/pbs-exporter/bin/pbs-exporter", sys.argv)
"""
"""Starts the image's program. A shell would change the order of the variables, which is that of targets."""


def main(arguments: Sequence[str]) -> int:
    """Build the image, run the tests, and return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="pbs-exporter-store-") as store:
        podman = Podman(Path(store))
        try:
            import_base_image(podman)
            # Without a revision: the tests expect that of the checkout.
            image = build_image(podman, {})
            files = podman("image", "mount", image).strip()
            return _run_tests(files, podman.inspect(image)["Config"]["Env"], arguments)
        finally:
            podman.close()
            Path(store).mkdir()


def _run_tests(files: str, variables: Sequence[str], arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="pbs-exporter-root-") as base:
        program = _PROGRAM.format(python=sys.executable, root=f"{base}/root", variables=variables)
        shared = ("/dev", "/proc", tempfile.gettempdir(), str(ROOT))
        entered = ("sh", "-euc", _ENTER, "--", base, files, str(tool("pbs-exporter")), *shared, "--")
        command = ("unshare", "--mount", *entered, sys.executable, "-m", "pytest", *arguments)
        return subprocess.run(command, input=program, encoding="utf-8", cwd=ROOT, check=False).returncode  # noqa: S603 - our own command


if __name__ == "__main__":
    assert os.geteuid() == 0, "service_on_image: needs root, for mounts and containers"
    sys.exit(main(sys.argv[1:]))
