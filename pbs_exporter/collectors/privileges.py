"""Which privileges a token has on which path, by PBS's rules, and what grants those that it lacks."""

from collections.abc import Iterable, Iterator

from pbs_exporter.collectors.base import Enabled, Need, Permissions


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


def missing(enabled: Enabled, permissions: Permissions) -> dict[Need, list[str]]:
    """Give what the token lacks of what these collectors need, each with their names."""
    lacking: dict[Need, list[str]] = {}
    for name, needs in enabled.items():
        for need in needs:
            if not has(permissions, need):
                lacking.setdefault(need, []).append(name)
    return lacking


def grants(needs: Iterable[Need], permissions: Permissions, token_id: str) -> list[str]:
    """Give the commands that grant the needs' roles, to the user and to its token.

    On `/`, where roles add up: an entry on a deeper path would replace all that is inherited there. The deeper
    path it is only where the privilege is on `/` already, and an entry on the way hides it.
    """
    user = token_id.partition("!")[0]
    lines = [
        f"proxmox-backup-manager acl update {need.path if need.privilege in permissions.get('/', {}) else '/'} "
        f"{need.role} --auth-id '{auth_id}'"
        for need in needs
        for auth_id in (user, token_id)
    ]
    return list(dict.fromkeys(lines))
