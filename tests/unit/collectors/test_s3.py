"""Datastores with an S3 backend."""

from tests.support.canned_pbs import page, series


async def test_buckets() -> None:
    """Each available S3 datastore is asked, and has the statistics that PBS returns, if any."""
    numbers = {"get": 1, "put": 2, "post": 0, "head": 4, "uploaded": 6, "downloaded": None}
    scraped = await page(
        {
            "/admin/datastore": [
                {"store": "a", "backend-type": "s3"},
                {"store": "b", "backend-type": "s3"},
                {"store": "c", "backend-type": "s3", "maintenance": "s3-refresh"},
                {"store": "d", "backend-type": "filesystem"},
            ],
            "/admin/datastore/a/status": {"total": 1, "s3-statistics": numbers},
            "/admin/datastore/b/status": {"total": 1},
        },
        ["s3"],
    )
    assert scraped.by("pbs_datastore_s3_requests_total", "method") == {"get": 1, "put": 2, "post": 0, "head": 4}
    assert scraped.by("pbs_datastore_s3_uploaded_bytes_total", "datastore") == {"a": 6}
    assert not series(scraped, "pbs_datastore_s3_downloaded_bytes_total")
    assert scraped.by("pbs_scrape_datastore_success", "datastore") == {"a": 1, "b": 1}
