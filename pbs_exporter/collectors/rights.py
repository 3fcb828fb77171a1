"""Which privileges a token has on which path, by PBS's rules."""

from collections.abc import Iterator, Mapping

from pbs_exporter.collectors.base import Need

Permissions = Mapping[str, Mapping[str, bool]]
"""ACL path → privilege → whether it propagates, as `/access/permissions` gives it."""


def has(permissions: Permissions, need: Need) -> bool:
    """Tell whether a privilege holds on a path: the nearest entry at or above it counts, the deeper one alone."""
    for path in _upwards(need.path):
        if path in permissions:
            propagates = permissions[path].get(need.privilege)
            return propagates is not None and (propagates or path == need.path)
    return False


def _upwards(path: str) -> Iterator[str]:
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"
    yield "/"
