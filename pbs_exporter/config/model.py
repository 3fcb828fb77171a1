"""The settings as used by the program: frozen, typed and valid."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

import msgspec

from pbs_exporter.config.filters import Filters
from pbs_exporter.errors import ConfigError

MAIN = ""
"""The name of the PBS of `/metrics`, which no target can have."""

INTERVALS_SHOWN = 3
"""Number of the intervals of a slow request for which its last good answer is shown."""

SHOWN_SECONDS = 3600.0
"""Minimum time for which it is shown."""


def shown_seconds(interval: float) -> float:
    """Return for how long an answer is shown that is renewed once in this interval (seconds)."""
    return max(SHOWN_SECONDS, INTERVALS_SHOWN * interval)


class Secret:
    """A string that is shown as `***` by `repr`, `str` and formatting.

    Only `reveal` returns it. It can't be pickled or encoded by `msgspec.json`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string. Use it only for the header that contains it, and to mask it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


class ListenAddress(msgspec.Struct, frozen=True):
    """The address of the web server. `str` returns the form of the setting."""

    host: str
    """A host name or an IP address, IPv6 without brackets; empty for all addresses, IPv4 and IPv6."""
    port: int
    """0 for any free port."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class ExternalUrl(msgspec.Struct, frozen=True):
    """Where clients reach the exporter behind a proxy: `https`, `HOST:PORT` and a path without a slash at its end."""

    scheme: str
    address: str
    prefix: str


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One PBS and how to query it: the section `[pbs]`."""

    endpoint: str
    """`https://HOST:PORT` without a trailing slash."""
    token_id: str
    token_secret: Secret
    """Read from `token_secret_file` if that is set."""
    token_secret_file: Path | None = None
    verify_tls: bool = False
    """Always true if `ca_file` or `fingerprint` is set."""
    ca_file: Path | None = None
    fingerprint: bytes | None = None
    """The certificate's SHA-256, 32 bytes. Never set together with `ca_file`."""
    timeout_seconds: float = 5.0
    snapshot_history_limit: int = 0
    """Snapshots per group; 0 is all."""
    max_concurrent_requests: int = 12
    scrape_timeout_seconds: float = 30.0
    listing_timeout_seconds: float = 600.0
    listing_interval_seconds: float = 0.0
    listing_max_age_seconds: float = 3600.0
    listing_mode: str = "auto"
    """`auto`, `full` or `changes`."""
    listing_refresh_seconds: float = 900.0
    listing_idle_seconds: float = 300.0
    slow_interval_seconds: float = 300.0
    task_window_seconds: float = 86400.0


class ExporterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The exporter: the section `[exporter]`."""

    listen_address: ListenAddress = ListenAddress("0.0.0.0", 9101)  # noqa: S104 (the documented default)
    log_level: str = "info"
    """`debug`, `info`, `warn` or `error`."""
    log_format: str = "logfmt"
    """`logfmt`, `json` or `console`."""
    max_requests: int = 40
    max_connections: int = 512
    process_metrics: bool = True
    lifecycle: bool = False
    external_url: ExternalUrl | None = None
    web_config_file: Path | None = None


class TargetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One PBS and what to show of it, with all that it inherits."""

    pbs: TargetSettings
    collectors: Mapping[str, bool]
    """The name of each collector, and whether it is enabled."""
    filters: Filters = Filters()
    labels: Mapping[str, str] = {}
    """Labels that Prometheus gets from `/sd`."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, including defaults."""

    exporter: ExporterSettings
    main: TargetConfig | None
    """The PBS of `/metrics`: the section `[pbs]`; `None` if it has no endpoint."""
    targets: Mapping[str, TargetConfig] = {}
    """Each PBS of the section `[targets]`, by name."""

    @property
    def configs(self) -> dict[str, TargetConfig]:
        """Each PBS by its name, that of `/metrics` first, as `MAIN`."""
        return {**({MAIN: self.main} if self.main else {}), **self.targets}

    @property
    def secrets(self) -> list[str]:
        """The secret of each, to mask it."""
        return [config.pbs.token_secret.reveal() for config in self.configs.values()]

    def config_of(self, name: str | None) -> TargetConfig:
        """Return a target, or without a name the PBS of `/metrics`. Raise `ConfigError` if it isn't there."""
        config = self.main if name is None else self.targets.get(name)
        if config is None:
            there = f"the targets are {', '.join(self.targets)}" if self.targets else "the settings have no [targets]"
            missing = "[pbs] has no endpoint, so name a target" if name is None else f"there is no target {name!a}"
            raise ConfigError([f"{missing}; {there}"])
        return config
