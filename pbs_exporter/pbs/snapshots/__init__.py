"""Snapshot listings, which belong to the target and not to a scrape."""
