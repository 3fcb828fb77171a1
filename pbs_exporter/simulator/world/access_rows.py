"""Users, their tokens, and the privileges of the exporter's token."""

from collections.abc import Iterable, Mapping

from pbs_exporter.simulator.world.layout import DAY

PRIVILEGES = frozenset({"Datastore.Audit", "Remote.Audit", "Sys.Audit", "Tape.Audit"})

_TOKEN_TERM = 90 * DAY


def permissions(privileges: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Return `/access/permissions` of a token with these privileges on `/`. PBS always lists these paths."""
    return {
        path: dict.fromkeys(sorted(privileges), True) for path in ("/", "/access", "/datastore", "/remote", "/system")
    }


def permissions_on(path: str, granted: Mapping[str, Mapping[str, bool]]) -> dict[str, Mapping[str, bool]]:
    """Return `/access/permissions?path=`: of that path alone, or nothing where the token has no privilege on it."""
    above = path
    while above not in granted and above != "/":
        above = above.rpartition("/")[0] or "/"
    privileges = {
        name: propagates for name, propagates in granted.get(above, {}).items() if propagates or above == path
    }
    return {path: privileges} if privileges else {}


def token_expires(now: int) -> int:
    """Return when the exporter's token expires (Unix seconds). It is always renewed in time."""
    return (now // _TOKEN_TERM + 1) * _TOKEN_TERM


def users(token_expires: int) -> list[dict[str, object]]:
    """Return `/access/users`, including tokens."""
    return [
        {
            "comment": "metrics reader",
            "tokens": [{"comment": "prometheus", "expire": token_expires, "tokenid": "exporter@pbs!metrics"}],
            "userid": "exporter@pbs",
        },
        {"tokens": [{"tokenid": "backup@pbs!pve"}], "userid": "backup@pbs"},
        {"comment": "Superuser", "userid": "root@pam"},
    ]
