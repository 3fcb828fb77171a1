"""What the token may see, and until when."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from pbs_exporter.collectors.base import Ask, Collector, Context, Permissions
from pbs_exporter.collectors.privileges import has
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import User

PRIVILEGE = Metric(
    "pbs_token_privilege",
    "1 if the token has the privilege that the collector needs, else 0; PBS hides a deeper path without any right, "
    "which then seems to have what it would inherit (/access/permissions).",
    ("collector", "privilege", "path"),
)
EXPIRES = Metric(
    "pbs_token_expire_timestamp_seconds",
    "When the exporter's token or its user expires, whichever is first; none if neither does "
    "(/access/users, expire, tokens.expire).",
)


class Access(msgspec.Struct, frozen=True):
    """What PBS said: what the token may do, and who is who. `None` is what it didn't say."""

    permissions: Permissions | None
    users: list[User] | None


async def fetch(ask: Ask) -> Access:
    """Ask for the token's privileges, and for the users."""
    permissions, users = await asyncio.gather(ask.attempt(ask.pbs.permissions), ask.attempt(ask.pbs.users))
    ask.permissions = permissions
    return Access(permissions, None if users is None else ask.rows(users))


def samples(access: Access, context: Context) -> Iterator[Sample]:
    """Make the samples of the privileges that enabled collectors need, and of the token."""
    if access.permissions is not None:
        for name, needs in context.enabled.items():
            for need in needs:
                yield from PRIVILEGE(float(has(access.permissions, need)), name, need.privilege, need.path)
    yield from EXPIRES(_expires(access.users or (), context.settings.token_id))


def _expires(users: Sequence[User], token_id: str) -> int | None:
    """Give the earlier end of the token's and its user's, where both are there. 0 is never."""
    for user in users:
        for token in user.tokens or ():
            if token.tokenid == token_id:
                return min((end for end in (user.expire, token.expire) if end), default=None)
    return None


COLLECTOR = Collector(
    name="access",
    help="Whether the token has the privileges that the collectors need, and when it expires.",
    metrics=(PRIVILEGE, EXPIRES),
    needs=(),
    fetch=fetch,
    samples=samples,
    intervals=1,
)
