"""The exporters to measure: this one, or any other."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.simulated_pbs import PbsAccess


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exporter: its command and its environment variables.

    Both may contain `{endpoint}`, `{host}` (the endpoint without its scheme), `{token_id}`, its parts `{user}` and
    `{token_name}`, `{secret}`, `{fingerprint}`, and `{port}`, on which the exporter must listen. In a valid response,
    the regular expression `expect` must match, and `reject` must not.
    """

    command: str
    environment: Mapping[str, str] = {}
    path: str = "/metrics"
    expect: str = ""
    reject: str = ""

    def arguments(self, pbs: PbsAccess, port: int) -> list[str]:
        """Return the command, split as by a shell."""
        values = _values(pbs, port)
        return [part.format_map(values) for part in shlex.split(self.command)]

    def variables(self, pbs: PbsAccess, port: int) -> dict[str, str]:
        """Return the environment variables."""
        values = _values(pbs, port)
        return {name: value.format_map(values) for name, value in self.environment.items()}

    def check(self, text: str) -> None:
        """Raise `ValueError` for a response with failures, which would be faster than a complete one."""
        if not re.search(self.expect, text, re.MULTILINE):
            raise ValueError(f"the response doesn't match {self.expect!r}")
        if self.reject and (found := re.search(self.reject, text, re.MULTILINE)):
            raise ValueError(f"the response has {found[0]!r}")


def ours(settings: Mapping[str, str]) -> Program:
    """Return the installed pbs-exporter with all collectors enabled, and these keys of `[pbs]`."""
    target = {
        "endpoint": "{endpoint}",
        "token_id": "{token_id}",
        "token_secret": "{secret}",
        "fingerprint": "{fingerprint}",
        **settings,
    }
    return Program(
        command=shlex.quote(str(Path(sys.executable).with_name("pbs-exporter"))),
        environment={
            **{f"PBS_EXPORTER__PBS__{key.upper()}": value for key, value in target.items()},
            "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:{port}",
            "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "warn",
            # Disabled by default.
            "PBS_EXPORTER__COLLECTORS__DISKS": "true",
        },
        expect="^pbs_up 1",
        reject=r"^pbs_scrape_\w+_success\{.*\} 0.*",
    )


def _values(pbs: PbsAccess, port: int) -> dict[str, object]:
    user, _, token_name = pbs.token_id.partition("!")
    return {
        **msgspec.structs.asdict(pbs),
        "host": pbs.endpoint.partition("://")[2],
        "user": user,
        "token_name": token_name,
        "port": port,
    }
