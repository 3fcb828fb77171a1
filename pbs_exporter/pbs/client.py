"""The client of PBS's API: one method per endpoint."""

from typing import TypeVar

from pbs_exporter.config import TargetSettings
from pbs_exporter.pbs import models
from pbs_exporter.pbs.capabilities import Capabilities, Query
from pbs_exporter.pbs.http.body import KIB, MIB
from pbs_exporter.pbs.http.decoding import Decoder, Rows, buffered, many, nested, one
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.row_stream import collected
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Timed, Transport

VERSION_SECONDS = 4.0
"""Minimum timeout of `/version`: PBS delays a failed login by 3 s, which must not look like a timeout."""

VERSION_BYTES = 64 * KIB
"""Size limit of `/version`, which has a hundred bytes. All limits are of inflated bytes."""

OBJECT_BYTES = 4 * MIB
"""Size limit of an answer that is one object. The largest are the permissions, with 200 bytes for each datastore."""

LIST_BYTES = 64 * MIB
"""Size limit of a list other than that of snapshots: 200,000 tasks, or 150,000 groups."""

PAST_BYTES = 2 * MIB
"""Size limit of an answer about the past, which has at most 1,440 rows of 400 bytes."""

T = TypeVar("T")

_version = buffered(one(models.Version))
_node_status = buffered(one(models.NodeStatus))
_datastore_status = buffered(one(models.DatastoreStatus))
_permissions = buffered(one(dict[str, dict[str, bool]]))
_datastores = collected(many(models.Datastore))
_usage = collected(many(models.Usage))
_namespaces = collected(many(models.Namespace))
_groups = collected(many(models.GroupRow))
_tasks = collected(many(models.Task))
_gc = collected(many(models.GcJob))
_tape_drives = collected(many(models.TapeDrive))
_tape_media = collected(many(models.TapeMedium))
_jobs = collected(many(models.Job))
_points = collected(nested(models.Point), objects=2)
_subscription = buffered(one(models.Subscription))
_updates = collected(many(models.Update))
_services = collected(many(models.Service))
_users = collected(many(models.User))
_disks = collected(many(models.Disk))
_pools = collected(many(models.Pool))
_datastore_past = collected(many(models.DatastorePast))
_host_past = collected(many(models.HostPast))


class PbsClient:
    """The API of one PBS. Every method raises a `PbsError` if there is no usable answer."""

    def __init__(self, transport: Transport, settings: TargetSettings, auth: TokenAuth) -> None:
        self._transport = transport
        self._settings = settings
        self.auth = auth
        self._capabilities = Capabilities()

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) that PBS presented at the newest TLS handshake; `None` before the first."""
        return self._transport.certificate

    def pbs_now(self) -> float:
        """Return PBS's own time (Unix seconds), at most a second late. Its clock may differ from ours."""
        return self._transport.pbs_now()

    async def version(self) -> models.DatedVersion:
        """`GET /version`. It needs a valid token and no privilege, so success means that PBS accepts the token."""
        seconds = max(self._settings.timeout_seconds, VERSION_SECONDS)
        answer = await self._transport.get("/version", _version, limit=VERSION_BYTES, timeout_seconds=seconds)
        version = answer.value
        self._capabilities.record_version(version)
        return models.DatedVersion(version.version, version.release, version.repoid, answer.sent_at)

    async def node_status(self) -> models.NodeStatus:
        """`GET /nodes/localhost/status`."""
        return await self._get("/nodes/localhost/status", _node_status, limit=OBJECT_BYTES)

    async def datastores(self) -> Rows[models.Datastore]:
        """`GET /admin/datastore`: the datastores that the token has access to."""
        return await self._get("/admin/datastore", _datastores)

    async def datastore_usage(self) -> Rows[models.Usage]:
        """`GET /status/datastore-usage`: all datastores. One that can't be read may fail the whole request."""
        return await self._get("/status/datastore-usage", _usage)

    async def datastore_status(self, store: str) -> models.DatastoreStatus:
        """`GET /admin/datastore/{store}/status`. A `total` of 0 means that a privilege is missing."""
        return await self._get(
            "/admin/datastore/{store}/status", _datastore_status, path={"store": store}, limit=OBJECT_BYTES
        )

    async def namespaces(self, store: str, lane: Lane = Lane.NAMESPACES) -> Rows[models.Namespace]:
        """`GET /admin/datastore/{store}/namespace`: those that the token has access to; the root is `""`."""
        template = "/admin/datastore/{store}/namespace"
        return await self._get(template, _namespaces, path={"store": store}, lane=lane)

    async def groups(self, store: str, namespace: str) -> Rows[models.GroupRow]:
        """`GET /admin/datastore/{store}/groups?ns=`: the groups of one namespace, without its child namespaces.

        PBS reads no manifests for it.
        """
        answer = await self._transport.get(
            "/admin/datastore/{store}/groups",
            _groups,
            path={"store": store},
            query={"ns": namespace},
            limit=LIST_BYTES,
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
        """`GET /admin/datastore/{store}/snapshots?ns=`: one namespace, without its child namespaces, or one group.

        PBS reads every manifest for it, and continues after the client has disconnected. `decode` makes a value of the
        rows as they arrive. `group` is a backup type and a backup ID.
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
        """`GET /nodes/localhost/tasks?since=`: the tasks that started at `start` (Unix seconds) or later."""
        return await self._get("/nodes/localhost/tasks", _tasks, query={"limit": "0", "since": str(start)})

    async def tasks_running(self) -> Rows[models.Task]:
        """`GET /nodes/localhost/tasks?running=1`: the running tasks, regardless of their start."""
        return await self._get("/nodes/localhost/tasks", _tasks, query={"running": "1", "limit": "0"})

    async def gc(self) -> Rows[models.GcJob]:
        """`GET /admin/gc`: one row for each available datastore."""
        return await self._get("/admin/gc", _gc)

    async def tape_drives(self) -> Rows[models.TapeDrive]:
        """`GET /tape/drive?query-activity=0`: without querying the drives."""
        return await self._get("/tape/drive", _tape_drives, query={"query-activity": "0"})

    async def tape_media(self) -> Rows[models.TapeMedium]:
        """`GET /tape/media/list?update-status=0`: without querying the changers."""
        return await self._get("/tape/media/list", _tape_media, query={"update-status": "0"})

    async def sync_jobs(self) -> Rows[models.Job]:
        """`GET /admin/sync`: pull and push jobs; only pull jobs before PBS 3.3."""
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
        """`GET /status/metrics`: the newest value of each of PBS's own metrics. New in PBS 3.3."""
        return await self._get("/status/metrics", _points)

    async def permissions(self, path: str | None = None) -> dict[str, dict[str, bool]]:
        """`GET /access/permissions` of the token: path → privilege → whether it propagates.

        With a `path` of that one alone, else of PBS's choice of paths.
        """
        query = {} if path is None else {"path": path}
        return await self._get("/access/permissions", _permissions, query=query, limit=OBJECT_BYTES, lane=Lane.SLOW)

    async def users(self) -> Rows[models.User]:
        """`GET /access/users?include_tokens=1`: all users; only the token's own user if it lacks the privilege."""
        return await self._get("/access/users", _users, query={"include_tokens": "1"}, lane=Lane.SLOW)

    async def subscription(self) -> models.Subscription:
        """`GET /nodes/localhost/subscription`."""
        return await self._get("/nodes/localhost/subscription", _subscription, limit=OBJECT_BYTES, lane=Lane.SLOW)

    async def updates(self) -> Rows[models.Update]:
        """`GET /nodes/localhost/apt/update`: may take seconds. PBS doesn't refresh the package lists."""
        return await self._get("/nodes/localhost/apt/update", _updates, lane=Lane.SLOW)

    async def services(self) -> Rows[models.Service]:
        """`GET /nodes/localhost/services`. PBS runs systemctl seven times."""
        return await self._get("/nodes/localhost/services", _services, lane=Lane.SLOW)

    async def disks(self) -> Rows[models.Disk]:
        """`GET /nodes/localhost/disks/list`. PBS runs smartctl on each disk, which can spin it up."""
        return await self._get("/nodes/localhost/disks/list", _disks, lane=Lane.SLOW)

    async def pools(self) -> Rows[models.Pool]:
        """`GET /nodes/localhost/disks/zfs`: without failed pools."""
        return await self._get("/nodes/localhost/disks/zfs", _pools, lane=Lane.SLOW)

    async def datastore_past(self, store: str, timeframe: str) -> Rows[models.DatastorePast]:
        """`GET /admin/datastore/{store}/rrd?cf=AVERAGE`. The timeframes are those of `past.TIMEFRAMES`."""
        template, query = "/admin/datastore/{store}/rrd", {"timeframe": timeframe, "cf": "AVERAGE"}
        return await self._get(
            template, _datastore_past, path={"store": store}, query=query, limit=PAST_BYTES, lane=Lane.SLOW
        )

    async def host_past(self, timeframe: str) -> Rows[models.HostPast]:
        """`GET /nodes/localhost/rrd?cf=AVERAGE`, likewise."""
        query = {"timeframe": timeframe, "cf": "AVERAGE"}
        return await self._get("/nodes/localhost/rrd", _host_past, query=query, limit=PAST_BYTES, lane=Lane.SLOW)

    async def _get(
        self,
        template: str,
        decode: Decoder[T],
        *,
        path: dict[str, str] | None = None,
        query: Query | None = None,
        newer: Query | None = None,
        limit: int | None = None,
        lane: Lane = Lane.PROMPT,
    ) -> T:
        """GET within `timeout_seconds`. `newer` are parameters that an older PBS refuses."""
        seconds = self._settings.timeout_seconds

        async def get(query: Query) -> T:
            answer = await self._transport.get(
                template, decode, path=path, query=query, limit=limit or LIST_BYTES, timeout_seconds=seconds, lane=lane
            )
            return answer.value

        return await self._capabilities.request(template, query or {}, newer or {}, get)
