"""What this version of PBS doesn't have: paths and parameters that came later.

PBS refuses what it doesn't know, and will do so until it is another version: so it is asked once.
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
    """What is known of it, by path template, until the version changes."""

    def __init__(self) -> None:
        self._version: Version | None = None
        self._paths: dict[str, NotOffered] = {}
        self._parameters: set[str] = set()

    def take(self, version: Version) -> None:
        """Note the version that PBS says; another one may have it all."""
        if version != self._version:
            self._version = version
            self._paths.clear()
            self._parameters.clear()

    async def ask(self, template: str, query: Query, newer: Query, get: Callable[[Query], Awaitable[T]]) -> T:
        """Give what `get` makes of a query: with the `newer` parameters, or without where PBS doesn't know them.

        Raises `NotOffered`, also without asking.
        """
        if template in self._paths:
            raise self._paths[template].with_traceback(None)
        try:
            if newer and template not in self._parameters:
                try:
                    return await get({**query, **newer})
                except NoSuchParameter as error:
                    self._parameters.add(template)
                    self._say(template, str(error))
            return await get(query)
        except NotOffered as error:
            self._paths[template] = error
            self._say(template, str(error))
            raise

    def _say(self, template: str, reason: str) -> None:
        known = self._version
        version = f"{known.version}.{known.release}" if known else "unknown"
        _log.info("not in this version of PBS", endpoint=template, version=version, reason=reason)
