"""Exporters that can be measured: this one, or any other."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.simulated import Address


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """An exporter: its command, and what it wants to find in its environment.

    Command and environment may name `{endpoint}`, `{host}` (the endpoint without its scheme), `{token_id}`, its parts
    `{user}` and `{token_name}`, `{secret}`, `{fingerprint}`, and `{port}`, where it has to listen. `expect` and
    `reject` are regular expressions that must, and must not, be found in a page that counts as good.
    """

    command: str
    environment: Mapping[str, str] = {}
    path: str = "/metrics"
    expect: str = ""
    reject: str = ""

    def arguments(self, pbs: Address, port: int) -> list[str]:
        """Give the command, split as a shell does it."""
        values = _values(pbs, port)
        return [part.format_map(values) for part in shlex.split(self.command)]

    def variables(self, pbs: Address, port: int) -> dict[str, str]:
        """Give the environment."""
        values = _values(pbs, port)
        return {name: value.format_map(values) for name, value in self.environment.items()}

    def judge(self, page: str) -> None:
        """Raise `ValueError` for a page that says that something failed: quick failures mustn't count."""
        if not re.search(self.expect, page, re.MULTILINE):
            raise ValueError(f"the page has nothing like {self.expect!r}")
        if self.reject and (found := re.search(self.reject, page, re.MULTILINE)):
            raise ValueError(f"the page has {found[0]!r}")


def ours(settings: Mapping[str, str]) -> Program:
    """Give the installed pbs-exporter with all its collectors, and with these keys of `[pbs]`."""
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
            # The one that is off by default.
            "PBS_EXPORTER__COLLECTORS__DISKS": "true",
        },
        expect="^pbs_up 1",
        reject=r"^pbs_scrape_\w+_success\{.*\} 0.*",
    )


def _values(pbs: Address, port: int) -> dict[str, object]:
    user, _, token_name = pbs.token_id.partition("!")
    return {
        **msgspec.structs.asdict(pbs),
        "host": pbs.endpoint.partition("://")[2],
        "user": user,
        "token_name": token_name,
        "port": port,
    }
