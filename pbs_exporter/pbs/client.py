"""One method for each endpoint of PBS that is asked."""

from typing import TypeVar

from pbs_exporter.config import TargetSettings
from pbs_exporter.pbs import models
from pbs_exporter.pbs.capabilities import Capabilities, Query
from pbs_exporter.pbs.http.decoding import Decoder, Rows, many, nested, one, whole
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Timed, Transport

VERSION_SECONDS = 4.0
"""What `/version` may take at least: PBS holds a refused login for 3 s, which must not look like a timeout."""

T = TypeVar("T")

_version = whole(one(models.Version))
_node_status = whole(one(models.NodeStatus))
_datastore_status = whole(one(models.DatastoreStatus))
_permissions = whole(one(dict[str, dict[str, bool]]))
_datastores = whole(many(models.Datastore))
_usage = whole(many(models.Usage))
_namespaces = whole(many(models.Namespace))
_groups = whole(many(models.GroupRow))
_tasks = whole(many(models.Task))
_gc = whole(many(models.GcJob))
_tape_drives = whole(many(models.TapeDrive))
_tape_media = whole(many(models.TapeMedium))
_jobs = whole(many(models.Job))
_points = whole(nested(models.Point))
_subscription = whole(one(models.Subscription))
_updates = whole(many(models.Update))
_services = whole(many(models.Service))
_users = whole(many(models.User))
_disks = whole(many(models.Disk))
_pools = whole(many(models.Pool))


class PbsClient:
    """Asks one PBS. Every method raises a `PbsError` where there is no answer that can be used."""

    def __init__(self, transport: Transport, settings: TargetSettings, login: TokenAuth) -> None:
        self._transport = transport
        self._settings = settings
        self.login = login
        self._capabilities = Capabilities()

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) that PBS showed at the newest TLS handshake; `None` where there was none."""
        return self._transport.certificate

    async def version(self) -> models.Version:
        """`GET /version`: needs a valid token and no privilege, so it tells whether the login is good."""
        seconds = max(self._settings.timeout_seconds, VERSION_SECONDS)
        answer = await self._transport.get("/version", _version, timeout_seconds=seconds)
        self.login.taken()
        self._capabilities.take(answer.value)
        return answer.value

    async def node_status(self) -> models.NodeStatus:
        """`GET /nodes/localhost/status`."""
        return await self._get("/nodes/localhost/status", _node_status)

    async def datastores(self) -> Rows[models.Datastore]:
        """`GET /admin/datastore`: the datastores that the token may see."""
        return await self._get("/admin/datastore", _datastores)

    async def datastore_usage(self) -> Rows[models.Usage]:
        """`GET /status/datastore-usage`: all at once, and one that can't be read can fail it as a whole."""
        return await self._get("/status/datastore-usage", _usage)

    async def datastore_status(self, store: str) -> models.DatastoreStatus:
        """`GET /admin/datastore/{store}/status`. A `total` of 0 says that rights are missing."""
        return await self._get("/admin/datastore/{store}/status", _datastore_status, path={"store": store})

    async def namespaces(self, store: str, lane: Lane = Lane.NAMESPACES) -> Rows[models.Namespace]:
        """`GET /admin/datastore/{store}/namespace`: all that the token may see, the root as `""`."""
        template = "/admin/datastore/{store}/namespace"
        return await self._get(template, _namespaces, path={"store": store}, lane=lane)

    async def groups(self, store: str, namespace: str) -> Rows[models.GroupRow]:
        """`GET /admin/datastore/{store}/groups?ns=`: of one namespace, without those below it.

        PBS reads no manifest for it.
        """
        answer = await self._transport.get(
            "/admin/datastore/{store}/groups",
            _groups,
            path={"store": store},
            query={"ns": namespace},
            timeout_seconds=self._settings.listing_timeout_seconds,
            lane=Lane.GROUPS,
        )
        return answer.value

    async def snapshots(
        self,
        store: str,
        namespace: str,
        decode: Decoder[T],
        group: tuple[str, str] | None = None,
        lane: Lane = Lane.LISTING,
    ) -> Timed[T]:
        """`GET /admin/datastore/{store}/snapshots?ns=`: of one namespace, without those below it, or of one group.

        PBS reads every manifest for it, and goes on with that after the client has left. `decode` makes a value of the
        rows as they arrive, `group` is a backup type and a backup ID.
        """
        query = {"ns": namespace}
        if group is not None:
            query["backup-type"], query["backup-id"] = group
        return await self._transport.get(
            "/admin/datastore/{store}/snapshots",
            decode,
            path={"store": store},
            query=query,
            timeout_seconds=self._settings.listing_timeout_seconds,
            lane=lane,
        )

    async def tasks_since(self, start: int) -> Rows[models.Task]:
        """`GET /nodes/localhost/tasks?since=`: the tasks that started at that time or later."""
        return await self._get("/nodes/localhost/tasks", _tasks, query={"limit": "0", "since": str(start)})

    async def tasks_running(self) -> Rows[models.Task]:
        """`GET /nodes/localhost/tasks?running=1`: the running tasks, whenever they started."""
        return await self._get("/nodes/localhost/tasks", _tasks, query={"running": "1", "limit": "0"})

    async def gc(self) -> Rows[models.GcJob]:
        """`GET /admin/gc`: a row for each datastore that can be opened."""
        return await self._get("/admin/gc", _gc)

    async def tape_drives(self) -> Rows[models.TapeDrive]:
        """`GET /tape/drive?query-activity=0`: without asking the drives themselves."""
        return await self._get("/tape/drive", _tape_drives, query={"query-activity": "0"})

    async def tape_media(self) -> Rows[models.TapeMedium]:
        """`GET /tape/media/list?update-status=0`: without asking the changers."""
        return await self._get("/tape/media/list", _tape_media, query={"update-status": "0"})

    async def sync_jobs(self) -> Rows[models.Job]:
        """`GET /admin/sync`: pull and push jobs; a PBS before 3.3 has pull jobs alone."""
        return await self._get("/admin/sync", _jobs, newer={"sync-direction": "all"})

    async def verify_jobs(self) -> Rows[models.Job]:
        """`GET /admin/verify`."""
        return await self._get("/admin/verify", _jobs)

    async def prune_jobs(self) -> Rows[models.Job]:
        """`GET /admin/prune`."""
        return await self._get("/admin/prune", _jobs)

    async def tape_backup_jobs(self) -> Rows[models.Job]:
        """`GET /tape/backup`."""
        return await self._get("/tape/backup", _jobs)

    async def metrics(self) -> Rows[models.Point]:
        """`GET /status/metrics`: of PBS's own metrics the newest values. PBS before 3.3 doesn't have it."""
        return await self._get("/status/metrics", _points)

    async def permissions(self) -> dict[str, dict[str, bool]]:
        """`GET /access/permissions`: path → privilege → whether it propagates, of the token."""
        return await self._get("/access/permissions", _permissions, lane=Lane.SLOW)

    async def users(self) -> Rows[models.User]:
        """`GET /access/users?include_tokens=1`: all users, or the token's own where it may not see them."""
        return await self._get("/access/users", _users, query={"include_tokens": "1"}, lane=Lane.SLOW)

    async def subscription(self) -> models.Subscription:
        """`GET /nodes/localhost/subscription`."""
        return await self._get("/nodes/localhost/subscription", _subscription, lane=Lane.SLOW)

    async def updates(self) -> Rows[models.Update]:
        """`GET /nodes/localhost/apt/update`: PBS may compute for seconds, but doesn't look for new ones."""
        return await self._get("/nodes/localhost/apt/update", _updates, lane=Lane.SLOW)

    async def services(self) -> Rows[models.Service]:
        """`GET /nodes/localhost/services`: PBS runs systemctl seven times for it."""
        return await self._get("/nodes/localhost/services", _services, lane=Lane.SLOW)

    async def disks(self) -> Rows[models.Disk]:
        """`GET /nodes/localhost/disks/list`: PBS runs smartctl on each disk for it, which can wake it."""
        return await self._get("/nodes/localhost/disks/list", _disks, lane=Lane.SLOW)

    async def pools(self) -> Rows[models.Pool]:
        """`GET /nodes/localhost/disks/zfs`: without the pools that have failed."""
        return await self._get("/nodes/localhost/disks/zfs", _pools, lane=Lane.SLOW)

    async def _get(
        self,
        template: str,
        decode: Decoder[T],
        *,
        path: dict[str, str] | None = None,
        query: Query | None = None,
        newer: Query | None = None,
        lane: Lane = Lane.PROMPT,
    ) -> T:
        """GET what PBS answers within `timeout_seconds`. `newer` are parameters that an old PBS refuses."""
        seconds = self._settings.timeout_seconds

        async def get(query: Query) -> T:
            answer = await self._transport.get(
                template, decode, path=path, query=query, timeout_seconds=seconds, lane=lane
            )
            return answer.value

        return await self._capabilities.ask(template, query or {}, newer or {}, get)
