"""PBS's open sets of states, mapped to small closed ones."""


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


MODES = frozenset({"read-only", "offline", "delete", "unmount", "s3-refresh"})


def maintenance(mode: str) -> str:
    """Map a datastore's maintenance mode; one that PBS invents later is `unknown`."""
    return mode if mode in MODES else "unknown"
