"""Reading a small file that a setting names. Failures have messages for users."""

import stat
from pathlib import Path

from pbs_exporter.config.values import InvalidValue

SIZE_LIMIT = 1 << 20
"""Far above any settings file or secret. It stops at `/dev/zero` and at the path of a backup."""


def read(path: Path) -> bytes:
    """Return the content of the file. Raises `InvalidValue` with the reason, which doesn't contain the path."""
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise InvalidValue("there is no such file") from None
    except IsADirectoryError:
        raise InvalidValue("this is a directory, not a file") from None
    except PermissionError:
        raise InvalidValue("the user that runs the exporter is not permitted to read the file") from None
    except OSError as error:
        raise InvalidValue(f"the file can't be read ({error.strerror})") from None
    except ValueError:
        # The path has a NUL character, or one that the file system's encoding lacks.
        raise InvalidValue("this is not a valid file name") from None
    if len(data) > SIZE_LIMIT:
        raise InvalidValue(f"the file is larger than {SIZE_LIMIT >> 20} MiB, so it can't be the right one")
    return data


def is_regular(path: Path) -> bool:
    """Whether the path leads to a regular file, which can be read without waiting for somebody who writes it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
