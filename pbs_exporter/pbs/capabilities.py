"""Paths and parameters that this version of PBS doesn't support.

An unsupported request would fail until PBS is upgraded, so it is sent only once per version.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
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
        self._paths: dict[str, str] = {}
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
            raise NotOffered(HTTPStatus.NOT_FOUND, self._paths[template])
        # PBS may be upgraded while it answers: what an old version lacks says nothing about the new one.
        asked = self._version
        try:
            if newer and template not in self._parameters:
                try:
                    return await get({**query, **newer})
                except NoSuchParameter as error:
                    if asked == self._version:
                        self._parameters.add(template)
                    _report(template, str(error), asked)
            return await get(query)
        except NotOffered as error:
            if asked == self._version:
                # Not the error itself: whoever raises it again would add to its traceback.
                self._paths[template] = str(error).removeprefix(f"{error.status} ")
            _report(template, str(error), asked)
            raise


def _report(template: str, reason: str, known: Version | None) -> None:
    version = f"{known.version}.{known.release}" if known else "unknown"
    _log.info("not in this version of PBS", endpoint=template, version=version, reason=reason)
