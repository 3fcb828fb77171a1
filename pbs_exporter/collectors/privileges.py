"""Which privileges a token has on which path, by PBS's rules, and which commands grant those that it lacks."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec


class Need(msgspec.Struct, frozen=True):
    """A privilege on an ACL path of PBS, and the role that has it.

    A need `only_with` another collector exists only while that one is enabled.
    """

    privilege: str
    path: str
    role: str
    only_with: str | None = None


Enabled = Mapping[str, tuple[Need, ...]]
"""The needs of each enabled collector, by its name."""

Permissions = Mapping[str, Mapping[str, bool]]
"""ACL path → privilege → whether it propagates, as in `/access/permissions`."""


def has(permissions: Permissions, need: Need) -> bool:
    """Whether a need is met. The nearest entry at or above the path counts; it replaces those above it."""
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
    """Return the needs that aren't met, each with the names of the collectors that have it."""
    lacking: dict[Need, list[str]] = {}
    for name, needs in enabled.items():
        for need in needs:
            if not has(permissions, need):
                lacking.setdefault(need, []).append(name)
    return lacking


def grants(needs: Iterable[Need], permissions: Permissions, token_id: str) -> list[str]:
    """Return the commands that grant the roles of these needs to the user and to its token.

    They grant on `/`, where roles add up; an entry on a deeper path would replace all that is inherited there. They
    grant on the deeper path only if `/` has the privilege already and an entry in between hides it.
    """
    user = token_id.partition("!")[0]
    lines = [
        f"proxmox-backup-manager acl update {need.path if need.privilege in permissions.get('/', {}) else '/'} "
        f"{need.role} --auth-id '{auth_id}'"
        for need in needs
        for auth_id in (user, token_id)
    ]
    return list(dict.fromkeys(lines))
