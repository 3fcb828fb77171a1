"""What the token may see, and until when."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.collectors.privileges import Permissions, has
from pbs_exporter.collectors.result import Shared
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import User

_TASKS = "/system/tasks"


class Access(msgspec.Struct, frozen=True):
    """What the token may do, `None` where PBS didn't say, and the users."""

    permissions: Permissions | None
    users: list[User]


class AccessCollector(Collector[Access]):
    """What `/access/permissions` and `/access/users` say of the token."""

    name = "access"
    help = "Whether the token has the privileges that the collectors need, and when it expires."
    intervals = 1

    PRIVILEGE = Metric(
        "pbs_token_privilege",
        "1 if the token has the privilege that the collector needs, else 0; PBS doesn't list a path without "
        "privileges, which then seems to inherit them (/access/permissions).",
        ("collector", "privilege", "path"),
    )
    EXPIRES = Metric(
        "pbs_token_expire_timestamp_seconds",
        "When the exporter's token or its user expires, whichever comes first; absent if neither does "
        "(/access/users, expire, tokens.expire).",
    )
    metrics = (PRIVILEGE, EXPIRES)

    async def fetch(self, request: CollectorRequest) -> Result[Access]:
        """Ask for the token's privileges and for the users."""
        with Findings() as found:
            permissions, users, of_tasks = await asyncio.gather(
                found.attempt(request.pbs.permissions),
                found.attempt(request.pbs.users),
                found.attempt(partial(_of_tasks, request)),
            )
            sees_all_tasks = of_tasks is not None and "Sys.Audit" in of_tasks.get(_TASKS, {})
            shared = Shared(permissions=permissions, sees_all_tasks=sees_all_tasks)
            return found.result(Access(permissions, found.rows(users)), shared)

    def samples(self, access: Access, context: Context) -> Iterator[Sample]:
        """Make samples of the privileges that the enabled collectors need, and of the token."""
        if access.permissions is not None:
            for name, needs in context.enabled.items():
                for need in needs:
                    yield from self.PRIVILEGE(float(has(access.permissions, need)), name, need.privilege, need.path)
        yield from self.EXPIRES(_expires(access.users, context.settings.token_id))


async def _of_tasks(request: CollectorRequest) -> Permissions | None:
    """Ask for the privileges on tasks, where that spares PBS listings. Without a path, PBS hides some."""
    settings = request.settings
    if settings.listing_mode == "full" or settings.listing_idle_seconds == 0 or "tasks" not in request.enabled:
        return None
    return await request.pbs.permissions(_TASKS)


def _expires(users: Sequence[User], token_id: str) -> int | None:
    """Return when the token or its user expires, whichever is first. PBS's 0 is never."""
    for user in users:
        for token in user.tokens or ():
            if token.tokenid == token_id:
                return min((end for end in (user.expire, token.expire) if end), default=None)
    return None
