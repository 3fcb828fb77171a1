"""How the listings of one datastore have gone."""

import msgspec

from pbs_exporter.errors import PbsTimeout


class Attempts(msgspec.Struct, frozen=True):
    """The results of the newest full listing and of the newest incremental one.

    `tried_at` is when the newest of both ended (Unix seconds). `took_seconds` and `answer_seconds` belong to the last
    full listing that succeeded: its duration, and what PBS took for its answers. `None` means that there was none.
    """

    full_error: BaseException | None = PbsTimeout("the first listing isn't finished yet", by_client=True)
    incremental_error: BaseException | None = None
    tried_at: float | None = None
    took_seconds: float | None = None
    answer_seconds: float | None = None

    @property
    def error(self) -> BaseException | None:
        """The error of the newest incremental listing, else that of the newest full one, else `None`."""
        return self.incremental_error or self.full_error
