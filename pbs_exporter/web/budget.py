"""How long a scrape may take."""

import math

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

OFFSET_SECONDS = 0.5
"""Margin by which the answer must precede Prometheus's timeout."""


def budget(header: str | None, limit: float) -> float:
    """Return the seconds that a scrape may take: Prometheus's timeout less the margin, and at most `limit`.

    The margin is at most half of the timeout. A missing or nonsensical header counts as none.
    """
    try:
        timeout = float(header or "")
    except ValueError:
        return limit
    # float() also takes "1_0" and digits of other scripts.
    plain = (header or "").isascii() and "_" not in (header or "")
    if not plain or not math.isfinite(timeout) or timeout <= 0:
        return limit
    return min(limit, max(timeout - OFFSET_SECONDS, timeout / 2))
