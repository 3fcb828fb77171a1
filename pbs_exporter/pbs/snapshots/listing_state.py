"""How the listing of one datastore goes, for people."""

import msgspec


class ListingState(msgspec.Struct, frozen=True):
    """What there is to say of a datastore's listing.

    `tried_at` is when the newest attempt ended, `listed_at` and `fully_listed_at` are of the listing that is kept
    (Unix times), `None` where there is none yet. `error` is what was wrong with the newest attempt. `took_seconds`
    is of the last full listing that ended well, `under_way_seconds` of the one that is under way. The next one
    begins after `due_in_seconds`; 0 is with the next scrape.
    """

    error: BaseException | None
    tried_at: float | None
    listed_at: float | None
    fully_listed_at: float | None
    took_seconds: float | None
    under_way_seconds: float | None
    due_in_seconds: float
