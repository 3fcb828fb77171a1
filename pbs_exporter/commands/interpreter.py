"""Settings of the Python interpreter and the C library for a long-running, responsive service."""

import ctypes
import gc
import resource
import ssl
import sys
from contextlib import suppress

SWITCH_SECONDS = 0.0005
"""The longest time for which a thread that renders a large page delays the event loop at once."""

COLLECTED_AFTER = 10_000
"""How many objects there are more than at the last look before Python looks for cycles among them again.

A scrape that succeeds leaves none, but has more than Python's own 700 (2,000 from 3.13 on) while it runs: looking would
take a twentieth of it.
"""

# From <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_TRIM_BYTES = 4 << 20
_LARGE_BYTES = 1 << 20


def import_aiohttp() -> None:
    """Import aiohttp without the system's CAs. Call it before anything imports aiohttp.

    At its import aiohttp reads them for requests that name no trust of their own, of which there are none: see
    `pbs/http/tls.py`. They take 3 MiB and 40 ms. Such a request would trust nobody.
    """
    found = {name: getattr(ssl.SSLContext, name) for name in ("load_default_certs", "set_default_verify_paths")}
    for name in found:
        setattr(ssl.SSLContext, name, lambda *_: None)
    try:
        import aiohttp  # noqa: F401, PLC0415
    finally:
        for name, function in found.items():
            setattr(ssl.SSLContext, name, function)


def tune() -> None:
    """Apply the settings. Call it once, after all imports."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # Imported modules live as long as the process: exclude them from garbage collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
    _return_memory()


def raise_descriptor_limit() -> None:
    """Raise the limit of open files to the one that only root may exceed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS refuses what it calls unlimited. The limit of connections follows from what there is.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _return_memory() -> None:
    """Make glibc return large blocks to the system as soon as they are free. Other C libraries are left as they are.

    glibc's threshold of its own grows up to several times the size of the largest page. Blocks below it share one
    region, where those that live longer leave gaps, which grow for days. What a socket receives at once, up to 256 KiB,
    is below it: new memory from the system for each would take a fifth of a large listing's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
