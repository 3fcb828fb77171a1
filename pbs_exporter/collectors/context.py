"""What samples may depend on besides the collector's own answer."""

from collections.abc import Mapping

import msgspec

from pbs_exporter.collectors.privileges import Enabled
from pbs_exporter.config import TargetSettings
from pbs_exporter.pbs.snapshots.listing import Listing


class Context(msgspec.Struct, frozen=True):
    """What `samples` is given besides the answer.

    `now` is the scrape's time (Unix seconds). `listings` are those that the collector `snapshots` shows in this
    response, by datastore; the collector `tasks` takes comments from them. `certificate` (DER) is what PBS showed at
    the newest TLS handshake, if there was one.
    """

    now: float
    settings: TargetSettings
    enabled: Enabled
    listings: Mapping[str, Listing] = {}
    certificate: bytes | None = None
