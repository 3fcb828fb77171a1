"""The API token: its ID, its secret, and the file that may contain the secret.

No error here shows a value: users paste the secret into the wrong one of these settings.
"""

import re
from pathlib import Path

import msgspec

from pbs_exporter.config import files
from pbs_exporter.config.model import Secret, TargetSettings
from pbs_exporter.config.values import InvalidValue, RawValue, quoted, string, takes

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_TOKEN_ID = re.compile(r"[^/]+@[A-Za-z0-9_][A-Za-z0-9._-]*![A-Za-z0-9_][A-Za-z0-9._-]*")
_TOKEN_ID_HINT = "write USER@REALM!NAME, as in exporter@pbs!prometheus"  # noqa: S105 (a form, not a token)


_NO_SECRET = (
    (re.compile(r'".*"', re.DOTALL), "is in quotes; write the secret without them"),
    (
        re.compile(r"PBSAPIToken=.*", re.DOTALL),
        "is a whole header; write only the secret, which follows the last colon",
    ),
    (
        re.compile(r"[^\s:!]+![A-Za-z0-9_][A-Za-z0-9._-]*:.+", re.DOTALL),
        "begins with the token's ID; write only the secret, which follows the colon",
    ),
    (re.compile(r"\$\{[^{}]+\}"), "is a variable that nothing has replaced; write the secret itself"),
)
"""Forms in which a secret is often written, and which PBS would refuse. Any other text may be a secret."""

_GENERATED = re.compile(r"\s*(?:Result:\s*)?(\{.*\})\s*", re.DOTALL)


class SecretFile(msgspec.Struct, frozen=True):
    """The file in `token_secret_file`, and the secret in it."""

    path: Path
    secret: Secret


@takes(type="string", pattern=rf"^(?=[!-9;-~]+$){_TOKEN_ID.pattern}$")
def token_id(raw: RawValue) -> str:
    """Parse `USER@REALM!NAME`."""
    value = string(raw)
    if quoted(value):
        raise InvalidValue(f"is in quotes; {_TOKEN_ID_HINT}, without them")
    if ":" in value:
        raise InvalidValue(f"contains a colon; {_TOKEN_ID_HINT}, and what follows the colon into token_secret")
    if not _PRINTABLE.fullmatch(value):
        raise InvalidValue(f"contains a space or another character that no token ID has; {_TOKEN_ID_HINT}")
    if "@" not in value:
        raise InvalidValue(f"has no @ before a realm; {_TOKEN_ID_HINT}")
    if "!" not in value:
        raise InvalidValue(f"has no ! before the token's name; {_TOKEN_ID_HINT}")
    if not _TOKEN_ID.fullmatch(value):
        raise InvalidValue(f"is not a valid token ID; {_TOKEN_ID_HINT}")
    return value


@takes(type="string", pattern=f"^{_PRINTABLE.pattern}$")
def token_secret(raw: RawValue) -> Secret:
    """Parse the secret that PBS showed when the token was created."""
    return _secret(string(raw))


@takes(type="string")
def token_secret_file(raw: RawValue) -> SecretFile:
    """Parse the path of a file that contains only the secret, and read the file."""
    path = Path(string(raw))
    return SecretFile(path, _read(path))


def reread_secret(settings: TargetSettings) -> Secret | None:
    """Return the secret in `token_secret_file`, read again after a refused login.

    `None` if no file is configured, or if it has no usable secret, perhaps because it is being replaced. The event loop
    calls this, so a pipe isn't read: it may have been one at start, and have nobody who writes to it now.
    """
    if settings.token_secret_file is None or not files.is_regular(settings.token_secret_file):
        return None
    try:
        return _read(settings.token_secret_file)
    except InvalidValue:
        return None


def _read(path: Path) -> Secret:
    # latin-1 decodes every byte. Anything but printable ASCII is refused below, with the same message.
    content = files.read(path).decode("latin-1")
    secret = content.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise InvalidValue("the file is empty; it must contain only the token's secret")
    try:
        return _secret(secret)
    except InvalidValue as error:
        raise InvalidValue(f"the file's content {error}") from None


def _secret(value: str) -> Secret:
    for form, wrong in _NO_SECRET:
        if form.fullmatch(value):
            raise InvalidValue(wrong)
    if _is_generated(value):
        raise InvalidValue('is the whole JSON that generate-token printed; write only what its "value" has in quotes')
    # The secret becomes part of an HTTP header.
    if not _PRINTABLE.fullmatch(value):
        raise InvalidValue(
            "contains a space, a line break or another character that no secret has; "
            "write only the secret, as PBS showed it when the token was created"
        )
    return Secret(value)


def _is_generated(value: str) -> bool:
    """Whether this is what `proxmox-backup-manager user generate-token` or the API prints."""
    match = _GENERATED.fullmatch(value)
    try:
        found = msgspec.json.decode(match[1]) if match else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return isinstance(found, dict) and "value" in found
