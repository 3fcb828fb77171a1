"""Folders and results that test runs and their workers share. The folders are in a cache outside the checkout."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pbs-exporter-deploy"

_MAX_AGE_SECONDS = 14 * 86400
_UNUSED_SECONDS = 86400.0
"""When a folder of another recipe is removed. Until then a run of another checkout may use it."""


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(folder: Path, name: str, make: Callable[[], str]) -> str:
    """Return the result of `make`. Of the processes that share `folder`, the first calls it, and the others wait."""
    with _locked(folder / f"{name}.lock"):
        made = folder / f"{name}.made"
        if not made.exists():
            made.write_text(make())
        return made.read_text()


def cached(name: str, recipe: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the cached folder of that name. It is made again after two weeks, and when its recipe has changed.

    Concurrent runs make it once. The time of the last use is the folder's access time.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{key}"
    with _locked(CACHE / f"{name}.lock"):
        now = time.time()
        if not folder.is_dir() or now - folder.stat().st_mtime > _MAX_AGE_SECONDS:
            making = CACHE / f"{name}.making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            for old in CACHE.glob(f"{name}-*[0-9a-f]"):
                if old == folder or now - old.stat().st_atime > _UNUSED_SECONDS:
                    shutil.rmtree(old)
            making.rename(folder)
            os.utime(folder)
        os.utime(folder, (now, folder.stat().st_mtime))
    return folder
