"""The snapshot listings of one PBS. They belong to the target and not to a scrape.

`/snapshots` makes PBS read every manifest, for minutes where there are many, and PBS goes on after the client has
left. So each datastore has one listing at a time, however many scrapes ask. It goes on when they have stopped waiting,
and the last good one is kept.
"""

import asyncio
import math
from collections.abc import Collection, Iterable
from typing import Any

from pbs_exporter.clock import Clock
from pbs_exporter.config import Filters, TargetSettings, shown_seconds
from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.models import NodeStatus
from pbs_exporter.pbs.snapshots import idleness
from pbs_exporter.pbs.snapshots.concurrently import has_failed
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient
from pbs_exporter.pbs.snapshots.group_notes import Notes
from pbs_exporter.pbs.snapshots.group_summary import grouped
from pbs_exporter.pbs.snapshots.idleness import Evidence, Uptime
from pbs_exporter.pbs.snapshots.listing import Listing, ListingStatus
from pbs_exporter.pbs.snapshots.runner import DatastoreRunner, TaskList

Status = asyncio.Future[NodeStatus]
"""The status of PBS's host, which may still be awaited."""

_AT_ONCE = 10_000


class SnapshotCache:
    """The listings of one PBS's datastores."""

    def __init__(self, client: PbsClient, settings: TargetSettings, filters: Filters, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._patterns = filters.namespaces
        self._decode = grouped(settings.snapshot_history_limit)
        self._clock = clock
        self._runners: dict[str, DatastoreRunner] = {}
        self._datastores: dict[str, DatastoreClient] = {}
        self._refreshed_at = -math.inf
        self._forgetting: asyncio.TimerHandle | None = None
        self._proofs: set[asyncio.Task[Evidence | None]] = set()
        self._proof_was_late = False
        self._uptime = Uptime()

    async def refresh(
        self,
        stores: Iterable[str],
        until: float,
        tasks: TaskList | None = None,
        status: Status | None = None,
        *,
        sees_all_tasks: bool | None = False,
    ) -> None:
        """List these datastores, and wait for it until `until` (the event loop's time). Forget all others.

        Listings that take longer go on. Raise nothing: see `errors`. `tasks` may be answered later, or never: what
        only they tell comes with the next full listing. Where they prove that nothing has changed, PBS isn't asked;
        that needs a token that `sees_all_tasks` (`None`: not asked yet). The `status` shows whether PBS has restarted.
        """
        wanted = dict.fromkeys(stores)
        self._forget_all_but(wanted)
        self._refreshed_at = self._clock.monotonic()
        self._forget_later(self._settings.listing_max_age_seconds)
        for store in wanted:
            if store not in self._runners:
                self._runners[store] = DatastoreRunner(self._datastore(store), self._settings, self._clock)
        # The slowest first, or they would begin when all others have ended.
        slowest_first = sorted((self._runners[store] for store in wanted), key=lambda runner: -runner.answer_seconds)
        # What was late last time may hang, and isn't waited for.
        awaits = not self._proof_was_late
        proof = None
        if tasks is not None and sees_all_tasks is not False:
            proof = self._proof(tasks, status, proves=bool(sees_all_tasks))
        started = [runner.start(tasks, proof, awaits_proof=awaits) for runner in slowest_first]
        running = [listing for listing in started if listing is not None]
        if running:
            await asyncio.wait(running, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def shown(self) -> dict[str, Listing]:
        """Return the last good listing of each known datastore, unless it is too old."""
        return {store: listing for store, runner in self._runners.items() if (listing := runner.shown()) is not None}

    def asks_groups(self, store: str) -> bool:
        """Whether the listings of this datastore ask for `/groups`, and so read the notes of groups."""
        runner = self._runners.get(store)
        return self._settings.listing_mode == "changes" if runner is None else runner.lists_changes

    async def read_notes(self, store: str) -> None:
        """Read the notes of a datastore's groups. Raise a `PbsError` where any can't be read."""
        await self._datastore(store).read_notes()

    def notes(self) -> dict[str, Notes]:
        """Return the notes of groups by datastore. Those that no listing renews are shown as slow samples are."""
        oldest = self._clock.monotonic() - shown_seconds(self._settings.slow_interval_seconds)
        return {
            store: datastore.notes.since(-math.inf if self.asks_groups(store) else oldest)
            for store, datastore in self._datastores.items()
        }

    def errors(self) -> dict[str, BaseException | None]:
        """Return what was wrong with each known datastore's newest finished attempt, or `None`."""
        return {store: runner.error for store, runner in self._runners.items()}

    def statuses(self) -> dict[str, ListingStatus]:
        """Return how the listing of each known datastore is going."""
        return {store: runner.status for store, runner in self._runners.items()}

    async def close(self) -> None:
        """Cancel all listings, and wait until they have ended."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        running: list[asyncio.Task[Any]] = [
            listing for runner in self._runners.values() for listing in runner.under_way()
        ]
        running += self._proofs
        self._forget_all_but(())
        for proof in self._proofs:
            proof.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _forget_later(self, seconds: float) -> None:
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(seconds, self._forget_unless_refreshed)

    def _forget_unless_refreshed(self) -> None:
        """Forget all if nobody has scraped for `listing_max_age_seconds`. Other targets may need the memory."""
        self._forgetting = None
        left = self._settings.listing_max_age_seconds - (self._clock.monotonic() - self._refreshed_at)
        if left > 0:
            self._forget_later(left)
        else:
            self._forget_all_but(())

    def _proof(self, tasks: TaskList, status: Status | None, *, proves: bool) -> asyncio.Task[Evidence | None] | None:
        """Start to read what the tasks prove, where a datastore has a use for it."""
        if not any(runner.has_use_for_proof for runner in self._runners.values()):
            return None
        proof = asyncio.create_task(self._evidence(tasks, status, proves=proves), name="proof of idleness")
        self._proofs.add(proof)
        proof.add_done_callback(self._proofs.discard)
        return proof

    async def _evidence(self, tasks: TaskList, status: Status | None, *, proves: bool) -> Evidence | None:
        """Wait for the tasks and the status. Return what they prove, `None` where there is no list of tasks."""
        at = self._clock.monotonic()
        await asyncio.wait([call for call in (tasks, status) if call is not None])
        self._proof_was_late = any(call is not None and _is_late(call) for call in (tasks, status))
        host = None if status is None or has_failed(status) else status.result()
        self._uptime = self._uptime.after(None if host is None else host.uptime)
        if has_failed(tasks):
            return None
        answer = tasks.result()
        ended: dict[str | None, set[str]] = {}
        running: set[str | None] = set()
        for start in range(0, len(answer.rows), _AT_ONCE):
            idleness.gather(answer.rows[start : start + _AT_ONCE], self._runners.keys(), ended, running)
            # There may be a million, and the event loop has other things to do.
            await asyncio.sleep(0)
        # A clock that is days off would hide tasks, for PBS is asked for those of a time.
        off = abs(self._client.pbs_now() - self._clock.now())
        proves = proves and answer.omitted is None and off <= idleness.PROOF_SECONDS
        return Evidence(ended, running, self._uptime.restarts, at, proves)

    def _datastore(self, store: str) -> DatastoreClient:
        if store not in self._datastores:
            datastore = DatastoreClient(self._client, store, self._patterns, self._decode, self._clock)
            self._datastores[store] = datastore
        return self._datastores[store]

    def _forget_all_but(self, wanted: Collection[str]) -> None:
        self._datastores = {store: one for store, one in self._datastores.items() if store in wanted}
        for store in self._runners.keys() - set(wanted):
            self._runners.pop(store).stop()


def _is_late(call: "asyncio.Future[Any]") -> bool:
    return call.cancelled() or isinstance(call.exception(), PbsTimeout)
