"""PBS's open sets of states, mapped to small closed ones."""

from collections.abc import Collection


def result(state: str | None) -> str:
    """Map a task's or job's state: `ok`, `warning`, `error`, `unknown`, or `running` where there is none.

    What else PBS says is the text of the error itself.
    """
    if state is None:
        return "running"
    if state == "OK":
        return "ok"
    if state.startswith("WARNINGS: "):
        return "warning"
    return "unknown" if state == "unknown" else "error"


JOB_STATES = ("ok", "warning", "error", "unknown", "running", "never")


def job(state: str | None, upid: str | None) -> str:
    """Map a job's last run: as `result`, or `never` where there was none."""
    return "never" if state is None and upid is None else result(state)


MEDIUM_STATES = ("writable", "full", "damaged", "retired", "unknown")
SUBSCRIPTION_STATES = ("new", "notfound", "active", "invalid", "expired", "suspended", "unknown")
DISK_STATES = ("passed", "failed", "unknown")
POOL_STATES = ("online", "degraded", "faulted", "offline", "removed", "unavail", "suspended", "unknown")


def place(location: str | None) -> str:
    """Map a tape's location: `online` in whatever changer, `vault` whatever its name, `offline`, else `unknown`."""
    kind, _, name = (location or "").partition("-")
    return kind if (kind == "offline" and not name) or (kind in ("online", "vault") and name) else "unknown"


def known(state: str | None, states: Collection[str]) -> str:
    """Give a state in small letters where it is one of `states`, else `unknown`."""
    folded = (state or "").lower()
    return folded if folded in states else "unknown"


MODES = frozenset({"read-only", "offline", "delete", "unmount", "s3-refresh"})


def maintenance(mode: str) -> str:
    """Map a datastore's maintenance mode; one that PBS invents later is `unknown`."""
    return mode if mode in MODES else "unknown"
