"""`pbs-exporter init`: asks for what a settings file needs, writes it, and checks it."""

import asyncio
import getpass
import hashlib
import json
import os
import ssl
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TypeVar

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import enabled
from pbs_exporter.collectors.privileges import grants, missing
from pbs_exporter.commands.output import replacing, resolved
from pbs_exporter.config.credentials import token_id, token_secret
from pbs_exporter.config.network import endpoint
from pbs_exporter.config.values import InvalidValue, Parser, RawValue
from pbs_exporter.errors import OutputError, PbsError
from pbs_exporter.pbs.http.tls import peer_certificate
from pbs_exporter.plain_text import first_line

DEFAULT_FILE = "settings.toml"
EXAMPLE_ID = "exporter@pbs!prometheus"

NO_TERMINAL = "init asks questions, so it needs a terminal; write the settings file yourself, as docs/settings.md says"
NOT_WRITTEN = "nothing was written"

_PORT = 8007
_ANSWER_SECONDS = 10.0
_OTHERS = stat.S_IRWXO | stat.S_IXUSR | stat.S_IXGRP

T = TypeVar("T")


def run(file: str | None) -> Path:
    """Ask, write the settings file, and return its path. Raise `OutputError` if nothing is written."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise OutputError(NO_TERMINAL)
    path = resolved(Path(file or DEFAULT_FILE))
    try:
        _check_writable(path)
        settings = _ask_all()
    except EOFError:
        print()
        raise OutputError(NOT_WRITTEN) from None
    _write(path, settings)
    print(f"\n{path} is written. Checking it:\n", flush=True)
    return path


def _check_writable(path: Path) -> None:
    """Raise `OutputError` before the questions if the file can't be written, or mustn't be replaced."""
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"can't write {path}: its folder isn't there, or you aren't permitted to write there")
    if path.exists() and not _agrees(f"{path} exists. Replace all that it contains?"):
        raise OutputError(NOT_WRITTEN)


def _ask_all() -> dict[str, str]:
    address, fingerprint = _ask_endpoint()
    print(f"\nThe exporter needs a token. Its ID is USER@REALM!NAME; press Enter for {EXAMPLE_ID}.")
    token = _asked(lambda: _typed("Token ID: ") or EXAMPLE_ID, token_id)
    print(
        '\nRun this as root on PBS, unless you have done so. The second line prints the token\'s secret as "value":\n'
    )
    for line in _commands(token):
        print(f"  {line}")
    print()
    secret = _asked(lambda: _typed("Secret of the token (it isn't shown): ", getpass.getpass), token_secret)
    trust = {"fingerprint": fingerprint} if fingerprint else {}
    return {"endpoint": address, "token_id": token, "token_secret": secret.reveal(), **trust}


def _ask_endpoint() -> tuple[str, str | None]:
    """Return the address of PBS, and the fingerprint of its certificate, which was compared, if it has one."""
    while True:
        address = _asked(lambda: _completed(_typed("Address of PBS, such as pbs.example.com: ")), endpoint)
        if address.startswith("http://"):
            print("Without https, the token is sent unencrypted.")
            return address, None
        try:
            # Nothing is trusted yet, and no request is sent.
            der = asyncio.run(peer_certificate(address, _ANSWER_SECONDS))
        except (OSError, ssl.SSLError, PbsError) as error:
            print(f"  {address}: {first_line(str(error)) or 'no answer in time'}")
            continue
        fingerprint = hashlib.sha256(der).digest().hex(":")
        print(f"\n{address} has a certificate with this fingerprint:\n\n  {fingerprint}\n")
        print("Compare it with the one that PBS shows: on its dashboard, behind Show Fingerprint,")
        print("or on the PBS host: proxmox-backup-manager cert info")
        if not _agrees("Is it the same?"):
            raise OutputError(f"that isn't your PBS, or somebody is between; {NOT_WRITTEN}")
        return address, fingerprint


def _completed(address: str) -> str:
    """Return an address with PBS's scheme and port where it has none."""
    if "://" in address:
        return address
    has_port = ":" in address.rpartition("]")[2]
    return f"https://{address}" + ("" if has_port else f":{_PORT}")


def _asked(ask: Callable[[], str], parser: Parser[T]) -> T:
    """Ask until the answer is valid. No message has the answer, which may be a secret."""
    while True:
        try:
            return parser(RawValue("", ask(), typed=True))
        except InvalidValue as error:
            print(f"  This {error}.")


def _agrees(question: str) -> bool:
    return _typed(f"{question} [y/N] ").lower() in ("y", "yes")


def _typed(prompt: str, read: Callable[[str], str] = input) -> str:
    try:
        return read(prompt).strip()
    except UnicodeDecodeError:
        # No answer has this character, so the question is asked again.
        return "\N{REPLACEMENT CHARACTER}"


def _commands(token: str) -> list[str]:
    """Return the commands that make user and token, and grant what the collectors need by default."""
    user, _, name = token.partition("!")
    needs = missing(enabled([collector for collector in COLLECTORS if collector.default]), {})
    return [
        f"proxmox-backup-manager user create {quote(user)}",
        f"proxmox-backup-manager user generate-token {quote(user)} {quote(name)}",
        *grants(needs, {}, token),
    ]


def _write(path: Path, settings: Mapping[str, str]) -> None:
    """Write the file, for its owner alone. Who could read a replaced one can do so again, but nobody else."""
    before = path.stat() if path.exists() else None
    # A string of ASCII in JSON is one in TOML.
    lines = ["[pbs]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""]
    with replacing(path, 0o600 if before is None else stat.S_IMODE(before.st_mode) & ~_OTHERS) as file:
        if before is not None:
            os.chown(file.fileno(), before.st_uid, before.st_gid)
        file.write("\n".join(lines).encode())
