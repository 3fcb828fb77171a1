"""Where `once` and `history` write, and the labels that they add."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pbs_exporter.errors import ConfigError, OutputError
from pbs_exporter.scrape.scrape_metrics import LABELS

_PREFIX_LENGTH = 50


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise `ConfigError` for labels that metrics have already."""
    if taken := labels.keys() & LABELS:
        raise ConfigError([f"--label {name}: is a label of metrics already; choose another name" for name in taken])


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a temporary file in the same directory that becomes `path` at the end: readers never see a partial file.

    Then it has `mode`: the programs that read metrics run as other users. Raise `OutputError` if that can't be. Nothing
    is left of a block that fails.
    """
    with _told(path):
        path = resolved(path)
        # A name has at most 255 bytes, and only one of the two may be too long.
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:_PREFIX_LENGTH]}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            temporary.chmod(mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def resolved(path: Path) -> Path:
    """Return the path that links lead to. Raise `OutputError` if no file can be there."""
    with _told(path):
        # `Path.resolve` raises a RuntimeError for links in a circle, before Python 3.13.
        path = Path(os.path.realpath(path))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_special(path):
            raise OutputError(f"can't write {path}: it is not a regular file")
    return path


def unnamed(beside: Path | None) -> IO[bytes]:
    """Open a temporary file without a name, beside a file or where those of the system are. Nothing can be left of it.

    Raise `OutputError` if that can't be.
    """
    with _told(beside or "temporary files"):
        return tempfile.TemporaryFile(dir=beside and beside.parent)


@contextmanager
def _told(what: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {what}: {(error.strerror or str(error)).lower()}") from error


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a device or a socket. Raise `OSError` if that can't be found out."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)
