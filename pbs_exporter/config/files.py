"""Reading a small file that a setting names, with every failure as words."""

from pathlib import Path

from pbs_exporter.config.values import Wrong

SIZE_LIMIT = 1 << 20
"""A settings file or a secret is far smaller; `/dev/zero` and a wrong path to a backup are not."""


def read(path: Path) -> bytes:
    """Read the whole file. Raises `Wrong` with the reason, which doesn't name the path."""
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise Wrong("there is no such file") from None
    except IsADirectoryError:
        raise Wrong("this is a directory, not a file") from None
    except PermissionError:
        raise Wrong("the file may not be read by the user that the exporter runs as") from None
    except OSError as error:
        raise Wrong(f"the file can't be read ({error.strerror})") from None
    except ValueError:
        # A NUL character, or one that the file system's encoding doesn't have.
        raise Wrong("this can't be the name of a file") from None
    if len(data) > SIZE_LIMIT:
        raise Wrong(f"the file is larger than {SIZE_LIMIT >> 20} MiB, so it can't be the right one")
    return data
