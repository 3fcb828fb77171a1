"""Paths and parameters that this version of PBS doesn't support.

An unsupported request would fail until PBS is upgraded, so it is sent only once per version.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog

from pbs_exporter.errors import NoSuchParameter, NotOffered
from pbs_exporter.pbs.models import Version

Query = Mapping[str, str]

_log = structlog.get_logger("pbs_exporter.pbs.offer")

T = TypeVar("T")


class Capabilities:
    """What PBS has refused as unknown, by path template. A new version of PBS clears it."""

    def __init__(self) -> None:
        self._version: Version | None = None
        self._paths: dict[str, NotOffered] = {}
        self._parameters: set[str] = set()

    def record_version(self, version: Version) -> None:
        """Record PBS's version. A different one may support everything."""
        if version != self._version:
            self._version = version
            self._paths.clear()
            self._parameters.clear()

    async def request(self, template: str, query: Query, newer: Query, get: Callable[[Query], Awaitable[T]]) -> T:
        """Return the result of `get` for the query, with the `newer` parameters if PBS supports them.

        Raises `NotOffered`, without a request if PBS has said so before.
        """
        if template in self._paths:
            raise self._paths[template].with_traceback(None)
        try:
            if newer and template not in self._parameters:
                try:
                    return await get({**query, **newer})
                except NoSuchParameter as error:
                    self._parameters.add(template)
                    self._report(template, str(error))
            return await get(query)
        except NotOffered as error:
            self._paths[template] = error
            self._report(template, str(error))
            raise

    def _report(self, template: str, reason: str) -> None:
        known = self._version
        version = f"{known.version}.{known.release}" if known else "unknown"
        _log.info("not in this version of PBS", endpoint=template, version=version, reason=reason)
