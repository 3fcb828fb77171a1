"""A generated PBS: any number of datastores, namespaces, groups and snapshots."""

import time
from collections.abc import Callable
from typing import Final

from pbs_exporter.simulator import api, jobs
from pbs_exporter.simulator.answer import UNAUTHORIZED, Answer, Call, LoginFailure
from pbs_exporter.simulator.endpoints import ENDPOINTS, Ask
from pbs_exporter.simulator.layout import DAY, Datastore, generate
from pbs_exporter.simulator.node import PRIVILEGES
from pbs_exporter.simulator.snapshots import Listings

_PLANS: Final = (jobs.SYNC, jobs.PUSH, jobs.PRUNE, jobs.TAPE)
"""What isn't of one datastore."""


class World:
    """A world of `datastores` with `namespaces` each (the root is one of them), and so on.

    It is a function of `seed` and of the time, and stands still at the time at which it was made, unless it
    `lives`: then backups come and go, tasks run, and numbers move. `stores` may be changed while it is
    served; the groups in it don't change.
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
        lives: bool = False,
        stores: list[Datastore] | None = None,
        task_history_seconds: int = 4 * DAY,
    ) -> None:
        """Take the sizes, or ready-made `stores`, which make the sizes of no account."""
        self.stores = stores or generate(
            datastores=datastores,
            namespaces=namespaces,
            groups=groups,
            snapshots=snapshots,
            seed=seed,
        )
        self.privileges = PRIVILEGES
        """What the token has, on `/`."""
        self._began = int(now())
        self._now = now
        self._lives = lives
        self._task_history_seconds = task_history_seconds
        self._listings = Listings()

    @property
    def now(self) -> int:
        """The Unix time in this world."""
        return int(self._now()) if self._lives else self._began

    def unauthorized(self, _: LoginFailure) -> Answer:
        """Return what PBS says to any failed login."""
        return UNAUTHORIZED

    def answer(self, call: Call) -> Answer:
        """Return what a PBS with this world would say."""
        found = api.find(call.path)
        if found is None or found[0].template not in ENDPOINTS:
            raise api.not_found(call.path)
        endpoint, names = found
        ask = Ask(
            now=self.now,
            stores=self.stores,
            plans=[plan for store in self.stores for plan in store.plans()] + [*_PLANS],
            tape=jobs.TAPE,
            privileges=self.privileges,
            task_history_seconds=self._task_history_seconds,
            listings=self._listings,
            names=names,
            params=api.read_params(endpoint, call.query),
            fingerprint=call.fingerprint,
        )
        return ENDPOINTS[endpoint.template](ask)
