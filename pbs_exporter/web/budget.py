"""How long a scrape may take."""

import math

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

OFFSET_SECONDS = 0.5
"""The answer must be on its way so long before Prometheus gives up."""


def budget(header: str | None, most: float) -> float:
    """Give the seconds that a scrape may take: what Prometheus allows, less a margin, and never more than `most`.

    The margin is never more than half. A header that makes no sense is as good as none.
    """
    try:
        allowed = float(header or "")
    except ValueError:
        return most
    # float() also takes "1_0" and digits of other scripts.
    plain = (header or "").isascii() and "_" not in (header or "")
    if not plain or not math.isfinite(allowed) or allowed <= 0:
        return most
    return min(most, max(allowed - OFFSET_SECONDS, allowed / 2))
