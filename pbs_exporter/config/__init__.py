"""The settings: from the environment and a TOML file to one frozen Struct.

The environment wins over the file, the file over the defaults. Each wrong setting is one line of a
`ConfigError`: the variable or the key, what is wrong, what would be right, and never a secret.
"""

from pbs_exporter.config.credentials import reread_secret
from pbs_exporter.config.filters import Filters, Patterns, keeps
from pbs_exporter.config.loading import load, load_exporter, load_listen_address
from pbs_exporter.config.model import ExporterSettings, ListenAddress, Secret, Settings, TargetSettings
from pbs_exporter.config.table import SETTINGS, Setting, settings_table

__all__ = [
    "SETTINGS",
    "ExporterSettings",
    "Filters",
    "ListenAddress",
    "Patterns",
    "Secret",
    "Setting",
    "Settings",
    "TargetSettings",
    "keeps",
    "load",
    "load_exporter",
    "load_listen_address",
    "reread_secret",
    "settings_table",
]
