"""PBS's open sets of states, mapped to small closed ones."""

from collections.abc import Collection


def result(state: str | None) -> str:
    """Map the state of a task or job: `ok`, `warning`, `error`, `unknown`, or `running` if there is none.

    Any other state of PBS is the text of an error.
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
    """Map the last run of a job, as `result` does, or to `never`."""
    return "never" if state is None and upid is None else result(state)


MEDIUM_STATES = ("writable", "full", "damaged", "retired", "unknown")
SUBSCRIPTION_STATES = ("new", "notfound", "active", "invalid", "expired", "suspended", "unknown")
DISK_STATES = ("passed", "failed", "unknown")
POOL_STATES = ("online", "degraded", "faulted", "offline", "removed", "unavail", "suspended", "unknown")


def place(location: str | None) -> str:
    """Map the location of a tape: `online` in any changer, in any `vault`, `offline`, or `unknown`."""
    kind, _, name = (location or "").partition("-")
    return kind if (kind == "offline" and not name) or (kind in ("online", "vault") and name) else "unknown"


def known(state: str | None, states: Collection[str]) -> str:
    """Return a state in lower case if it is one of `states`, else `unknown`."""
    folded = (state or "").lower()
    return folded if folded in states else "unknown"


MODES = frozenset({"read-only", "offline", "delete", "unmount", "s3-refresh"})


def maintenance(mode: str) -> str:
    """Map the maintenance mode of a datastore. A mode that this program doesn't know is `unknown`."""
    return mode if mode in MODES else "unknown"
