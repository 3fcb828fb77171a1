"""The world as a source of answers."""

import time
from collections.abc import Callable
from typing import Final

from pbs_exporter.simulator import api
from pbs_exporter.simulator.answer import UNAUTHORIZED, Answer, Call, LoginFailure
from pbs_exporter.simulator.world import job_rows, tape_rows
from pbs_exporter.simulator.world.access_rows import PRIVILEGES
from pbs_exporter.simulator.world.endpoints import ENDPOINTS, EndpointRequest
from pbs_exporter.simulator.world.layout import DAY, SimulatedDatastore, generate
from pbs_exporter.simulator.world.snapshot_rows import ListingEncoder

_PLANS: Final = (job_rows.SYNC, job_rows.PUSH, job_rows.PRUNE, tape_rows.TAPE_BACKUP)
"""Plans that don't belong to a generated datastore."""


class World:
    """A generated PBS: `datastores` with `namespaces` each (including the root), `groups` per namespace, and so on.

    Its answers depend only on `seed` and the time. With `live`, the time passes: backups are made and pruned, tasks
    run. Otherwise the time is always that of its creation. `stores` may change while it is served.
    """

    def __init__(
        self,
        datastores: int = 3,
        namespaces: int = 2,
        groups: int = 10,
        snapshots: int = 20,
        *,
        seed: int = 1,
        now: Callable[[], float] = time.time,
        live: bool = False,
        stores: list[SimulatedDatastore] | None = None,
        task_history_seconds: int = 4 * DAY,
    ) -> None:
        """Take the sizes, or `stores`, which override the sizes."""
        self.stores = stores or generate(
            datastores=datastores,
            namespaces=namespaces,
            groups=groups,
            snapshots=snapshots,
            seed=seed,
        )
        self.privileges = PRIVILEGES
        """The privileges of the token on `/`."""
        self._created = int(now())
        self._now = now
        self._live = live
        self._task_history_seconds = task_history_seconds
        self._listings = ListingEncoder()

    @property
    def now(self) -> int:
        """The time in this world (Unix seconds)."""
        return int(self._now()) if self._live else self._created

    def pbs_time(self) -> float:
        """Return the time of the world."""
        return self.now

    def unauthorized(self, _: LoginFailure) -> Answer:
        """Return the answer to a failed login."""
        return UNAUTHORIZED

    def answer(self, call: Call) -> Answer:
        """Return the answer of a PBS with this world."""
        found = api.find(call.path)
        if found is None or found[0].template not in ENDPOINTS:
            raise api.not_found(call.path)
        endpoint, names = found
        request = EndpointRequest(
            now=self.now,
            stores=self.stores,
            plans=[plan for store in self.stores for plan in store.plans()] + [*_PLANS],
            privileges=self.privileges,
            task_history_seconds=self._task_history_seconds,
            listings=self._listings,
            names=names,
            params=api.read_params(endpoint, call.query),
            fingerprint=call.fingerprint,
        )
        return ENDPOINTS[endpoint.template](request)
