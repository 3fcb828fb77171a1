"""Whether a datastore's scrapes list it in full, or look for what has changed."""

import structlog

SLOW_SECONDS = 0.5
"""A datastore with an answer that takes so long is asked for changes only (`listing_mode` = `auto`)."""

QUICK_SECONDS = 0.25
"""Below this it is listed in full again."""

_log = structlog.get_logger("pbs_exporter.pbs.listing_mode")


class ListingMode:
    """The mode of one datastore: the setting's, or chosen after each full listing where that is `auto`.

    `changes` says that scrapes look for changes, `seconds` what the longest answer of the last full listing took.
    """

    def __init__(self, store: str, setting: str) -> None:
        self.changes = setting == "changes"
        self.seconds = 0.0
        self._store = store
        self._chooses = setting == "auto"
        self._has_chosen = False

    def choose(self, seconds: float) -> None:
        """Choose what the next scrapes do, by what the longest answer of a full listing took."""
        self.seconds = seconds
        if not self._chooses:
            return
        limit = QUICK_SECONDS if self.changes else SLOW_SECONDS
        changes = seconds >= limit
        if not self._has_chosen or changes != self.changes:
            _log.info(
                "listing mode chosen",
                datastore=self._store,
                mode="changes" if changes else "full",
                because=f"its longest answer to a full listing took {seconds:.2f} s, the limit is {limit} s",
            )
        self.changes, self._has_chosen = changes, True
