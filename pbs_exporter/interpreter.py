"""The interpreter and its C library, set for a service that runs for long and must answer while it works."""

import ctypes
import gc
import sys

SWITCH_SECONDS = 0.0005
"""How long a large page may keep the event loop waiting, each time that the loop wants to run."""

# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 1 << 20
_LARGE_BYTES = 8 << 20


def tune() -> None:
    """Set it, once, when all is imported."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # What has been imported stays: it needn't be looked through again and again.
    gc.collect()
    gc.freeze()
    _return_memory()


def _return_memory() -> None:
    """Have glibc return large blocks to the system as soon as they are free. Other libraries do, or can't be asked.

    By itself it learns from each large block to keep more of them: after a page of 20 MB several times that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
