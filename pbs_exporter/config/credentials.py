"""The token: its ID, its secret, and the file that may hold the secret.

No line of this module shows a value. People paste the secret into the wrong one of these settings.
"""

import re
from pathlib import Path

import msgspec

from pbs_exporter.config import files
from pbs_exporter.config.model import Secret, TargetSettings
from pbs_exporter.config.values import Given, Wrong, text

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_TOKEN_ID = re.compile(r"[^/]+@[A-Za-z0-9_][A-Za-z0-9._-]*![A-Za-z0-9_][A-Za-z0-9._-]*")
_TOKEN_ID_RIGHT = "write USER@REALM!NAME, as in exporter@pbs!prometheus"  # noqa: S105 (a form, no token)


class SecretFile(msgspec.Struct, frozen=True):
    """A file that was named for the secret, and what it held."""

    path: Path
    secret: Secret


def token_id(given: Given) -> str:
    """Take `USER@REALM!NAME`."""
    value = text(given)
    if ":" in value:
        raise Wrong(f"holds a colon; {_TOKEN_ID_RIGHT}, and what follows the colon into token_secret")
    if not _PRINTABLE.fullmatch(value):
        raise Wrong(f"holds a space or another character that no token ID has; {_TOKEN_ID_RIGHT}")
    if "@" not in value:
        raise Wrong(f"has no @ before a realm; {_TOKEN_ID_RIGHT}")
    if "!" not in value:
        raise Wrong(f"has no ! before the token's name; {_TOKEN_ID_RIGHT}")
    if not _TOKEN_ID.fullmatch(value):
        raise Wrong(f"is not the form of a token ID; {_TOKEN_ID_RIGHT}")
    return value


def token_secret(given: Given) -> Secret:
    """Take the secret that PBS showed once, when the token was created."""
    return _secret(text(given))


def token_secret_file(given: Given) -> SecretFile:
    """Take the path of a file that holds the secret alone, and read it."""
    path = Path(text(given))
    return SecretFile(path, _read(path))


def reread_secret(settings: TargetSettings) -> Secret | None:
    """Read `token_secret_file` again, after a refused login.

    None where no file is configured, or where it holds no usable secret at the moment: it may be just being
    replaced.
    """
    if settings.token_secret_file is None:
        return None
    try:
        return _read(settings.token_secret_file)
    except Wrong:
        return None


def _read(path: Path) -> Secret:
    # latin-1 takes every byte: what isn't printable ASCII is refused below, with one text for all of it.
    content = files.read(path).decode("latin-1")
    secret = content.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise Wrong("the file is empty; it must hold the token's secret and nothing else")
    try:
        return _secret(secret)
    except Wrong as wrong:
        raise Wrong(f"the file's content {wrong}") from None


def _secret(value: str) -> Secret:
    # It becomes a part of an HTTP header.
    if not _PRINTABLE.fullmatch(value):
        raise Wrong(
            "holds a space, a line break or another character that no secret has; "
            "write the secret alone, as PBS showed it when the token was created"
        )
    return Secret(value)
