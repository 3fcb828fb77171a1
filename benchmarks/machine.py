"""The machine on which the benchmarks ran."""

import os
import platform
import re
import ssl
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pbs_exporter import __version__

_LIBRARIES = ("aiohttp", "msgspec", "prometheus-client")
_KIB_A_GIB = 1 << 20


def machine() -> dict[str, str]:
    """Return a description of the hardware, the software and the date."""
    model = _found("/proc/cpuinfo", r"model name\s*:\s*(.+)")
    memory = int(_found("/proc/meminfo", r"MemTotal:\s+(\d+)") or 0)
    system = _found("/etc/os-release", r"PRETTY_NAME=\"?([^\"\n]+)")
    return {
        "CPU": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "RAM": f"{memory / _KIB_A_GIB:.0f} GiB",
        "system": f"{system}, Linux {platform.release()}",
        "Python": f"{platform.python_implementation()} {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "pbs-exporter": __version__,
        "day": datetime.now(UTC).date().isoformat(),
    }


def _found(file: str, pattern: str) -> str:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError:
        return ""
    match = re.search(pattern, text)
    return match[1] if match else ""
