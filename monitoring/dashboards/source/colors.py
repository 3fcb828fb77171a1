"""Colors with a meaning: thresholds, and states."""

from collections.abc import Mapping

from grafana_foundation_sdk.models.dashboard import Threshold, ValueMap, ValueMappingResult

GOOD, WARNING, BAD, AWAY, UNKNOWN = "green", "orange", "red", "blue", "gray"

Steps = Mapping[float | None, str]
"""The colors by the value at which they begin. `None` is the color below all values."""

PLAIN: Steps = {None: GOOD}
ANY_IS_BAD: Steps = {None: GOOD, 1: BAD}
ANY_IS_A_WARNING: Steps = {None: GOOD, 1: WARNING}
FILL: Steps = {None: GOOD, 0.8: WARNING, 0.9: BAD}
"""Thresholds for the used share, as in the alerts of datastores."""
DAYS_UNTIL_FULL: Steps = {None: BAD, 7 * 86400: WARNING, 30 * 86400: GOOD}
OVERDUE: Steps = {None: GOOD, 60: WARNING, 3600: BAD}
OF_LIMIT: Steps = {None: GOOD, 0.8: WARNING, 1: BAD}
BUSY: Steps = {None: GOOD, 0.9: WARNING, 0.97: BAD}

States = Mapping[float | str, tuple[str, str]]
"""The name of a value, and its color."""

UP: States = {0: ("down", BAD), 1: ("up", GOOD)}
YES_IS_FINE: States = {0: ("no", UNKNOWN), 1: ("yes", GOOD)}
SUCCESS: States = {0: ("failed", BAD), 1: ("ok", GOOD)}
SEVERITY: States = {"critical": ("critical", BAD), "warning": ("warning", WARNING), "info": ("info", AWAY)}
VERIFICATION: States = {"ok": ("ok", GOOD), "failed": ("failed", BAD), "none": ("none", UNKNOWN)}
DATASTORE: States = {0: ("unreadable", BAD), 1: ("readable", GOOD), 2: ("away on purpose", AWAY)}
JOB: States = {
    0: ("never ran", UNKNOWN),
    1: ("ok", GOOD),
    2: ("running", AWAY),
    3: ("unknown", UNKNOWN),
    4: ("warning", WARNING),
    5: ("error", BAD),
}


def thresholds(steps: Steps) -> list[Threshold]:
    """Return steps in Grafana's form."""
    return [Threshold(value=value, color=color) for value, color in steps.items()]


def mapping(states: States) -> ValueMap:
    """Return states in Grafana's form."""
    return ValueMap(
        options={
            str(value): ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(states.items())
        },
    )
