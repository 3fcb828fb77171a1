"""Settings of the Python interpreter and the C library for a long-running, responsive service."""

import ctypes
import gc
import resource
import sys
from contextlib import suppress

SWITCH_SECONDS = 0.0005
"""The longest time for which a thread that renders a large page delays the event loop at once."""

# From <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_TRIM_BYTES = 1 << 20
_LARGE_BYTES = 128 << 10


def tune() -> None:
    """Apply the settings. Call it once, after all imports."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # Imported modules live as long as the process: exclude them from garbage collection.
    gc.collect()
    gc.freeze()
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
    region, where those that live longer leave gaps, which grow for days.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
