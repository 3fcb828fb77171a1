"""The settings: from the environment and a TOML file to one frozen Struct.

The environment has precedence over the file, and the file over the defaults. Each invalid setting is one line of a
`ConfigError`: the variable or key, what is wrong, and what to write instead. Secrets are never shown.
"""

from pbs_exporter.config.credentials import reread_secret
from pbs_exporter.config.filters import Filters, Patterns, keeps
from pbs_exporter.config.loading import load, load_exporter, load_own_port
from pbs_exporter.config.model import (
    MAIN,
    ExporterSettings,
    ExternalUrl,
    ListenAddress,
    Secret,
    Settings,
    TargetConfig,
    TargetSettings,
    shown_seconds,
)
from pbs_exporter.config.network import is_address
from pbs_exporter.config.table import SETTINGS, Setting, settings_table

__all__ = [
    "MAIN",
    "SETTINGS",
    "ExporterSettings",
    "ExternalUrl",
    "Filters",
    "ListenAddress",
    "Patterns",
    "Secret",
    "Setting",
    "Settings",
    "TargetConfig",
    "TargetSettings",
    "is_address",
    "keeps",
    "load",
    "load_exporter",
    "load_own_port",
    "reread_secret",
    "settings_table",
    "shown_seconds",
]
