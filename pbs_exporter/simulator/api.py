"""PBS's API tree: its paths and their query parameters."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from pbs_exporter.simulator.answer import RefusedError

Params = dict[str, int | bool | str | list[str]]
"""The parameters of a call, each in its declared type."""

PERMISSION_CHECK_FAILED: Final = "permission check failed"
"""The text of a 403 by PBS's router; those of handlers have details."""


class Endpoint(msgspec.Struct, frozen=True):
    """A path of the tree, and the types of its query parameters."""

    template: str
    params: Mapping[str, type[int] | type[bool] | type[str] | type[list[str]]] = {}
    blocking: bool = False
    """Whether it can take long and runs in a thread, so that it doesn't delay other requests."""


_TASK_PARAMS = {
    "limit": int,
    "start": int,
    "running": bool,
    "errors": bool,
    "since": int,
    "until": int,
    "typefilter": str,
    "statusfilter": list,
    "userfilter": str,
    "store": str,
}

_RRD_PARAMS = {"timeframe": str, "cf": str}

_TREE: Final = (
    Endpoint("/ping"),
    Endpoint("/version"),
    Endpoint("/access/permissions", {"path": str, "auth-id": str}),
    Endpoint("/access/users", {"include_tokens": bool}),
    Endpoint("/admin/datastore"),
    Endpoint("/admin/datastore/{store}/active-operations"),
    Endpoint("/admin/datastore/{store}/gc"),
    Endpoint("/admin/datastore/{store}/groups", {"ns": str}, blocking=True),
    Endpoint("/admin/datastore/{store}/namespace", {"parent": str, "max-depth": int}),
    Endpoint("/admin/datastore/{store}/rrd", _RRD_PARAMS, blocking=True),
    Endpoint(
        "/admin/datastore/{store}/snapshots",
        {"ns": str, "backup-type": str, "backup-id": str},
        blocking=True,
    ),
    Endpoint("/admin/datastore/{store}/status", {"verbose": bool}, blocking=True),
    Endpoint("/admin/gc", {"store": str}),
    Endpoint("/admin/prune", {"store": str}),
    Endpoint("/admin/sync", {"store": str, "sync-direction": str}),
    Endpoint("/admin/traffic-control"),
    Endpoint("/admin/verify", {"store": str}),
    Endpoint("/nodes/{node}/apt/update"),
    Endpoint("/nodes/{node}/certificates/info"),
    Endpoint("/nodes/{node}/disks/list", {"skipsmart": bool, "include-partitions": bool, "usage-type": str}),
    Endpoint("/nodes/{node}/disks/zfs"),
    Endpoint("/nodes/{node}/identity"),
    Endpoint("/nodes/{node}/rrd", _RRD_PARAMS, blocking=True),
    Endpoint("/nodes/{node}/services"),
    Endpoint("/nodes/{node}/status"),
    Endpoint("/nodes/{node}/subscription"),
    Endpoint("/nodes/{node}/tasks", _TASK_PARAMS),
    Endpoint("/nodes/{node}/time"),
    Endpoint("/status/datastore-usage"),
    Endpoint("/status/metrics", {"history": bool, "start-time": int}),
    Endpoint("/tape/backup", {"store": str}),
    Endpoint("/tape/changer"),
    Endpoint("/tape/drive", {"changer": str, "query-activity": bool}),
    Endpoint("/tape/media/list", {"pool": str, "update-status": bool, "update-status-changer": str}),
)

_BY_SEGMENTS: Final = [(endpoint.template.split("/"), endpoint) for endpoint in _TREE]


def find(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """Return the endpoint of a percent-encoded path, and the variables in the path, decoded."""
    given = path.split("/")
    for segments, endpoint in _BY_SEGMENTS:
        if len(segments) == len(given) and all(
            wanted == got or (wanted.startswith("{") and got) for wanted, got in zip(segments, given, strict=True)
        ):
            return endpoint, {
                wanted[1:-1]: unquote(got)
                for wanted, got in zip(segments, given, strict=True)
                if wanted.startswith("{")
            }
    return None


def not_found(path: str) -> RefusedError:
    """Return the error for a path or method that this PBS doesn't have."""
    return RefusedError(404, f"Path '/api2/json{path}' not found.", by_handler=False)


def read_params(endpoint: Endpoint, query: Sequence[tuple[str, str]]) -> Params:
    """Return the query's parameters in their types. Raises `RefusedError` with PBS's text if they are invalid."""
    params: Params = {}
    problems: list[tuple[str, str]] = []
    for name, value in query:
        kind = endpoint.params.get(name)
        if name == "_dc":  # The web UI's cache buster, which PBS ignores.
            continue
        if kind is None:
            problems.append((name, "schema does not allow additional properties."))
        elif kind is list:
            params[name] = [*_texts(params, name), value]
        elif name in params:
            problems.append((name, "duplicate parameter."))
        else:
            try:
                params[name] = _read(kind, value)
            except ValueError as error:
                problems.append((name, str(error)))
    if problems:
        lines = [f"'{name}': {problem}" for name, problem in problems]
        text = f" - {lines[0]}" if len(lines) == 1 else ":" + "".join(f"\n- {line}" for line in lines)
        raise RefusedError(400, f"parameter verification failed{text}", by_handler=False)
    return params


def _texts(params: Params, name: str) -> list[str]:
    value = params.get(name)
    return value if isinstance(value, list) else []


def _read(kind: type[object], value: str) -> int | bool | str:
    if kind is bool:
        if value.lower() in {"1", "on", "yes", "true"}:
            return True
        if value.lower() in {"0", "off", "no", "false"}:
            return False
        raise ValueError("Unable to parse boolean option.")
    if kind is int:
        if not value.removeprefix("-").isdecimal():
            raise ValueError("invalid digit found in string")
        return int(value)
    return value
