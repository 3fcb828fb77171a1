"""What a client may ask for in a query: a target by its name, and collectors by theirs. Never an address."""

from collections.abc import Collection, Mapping

from aiohttp import web
from multidict import MultiMapping

TARGET = "target"
COLLECT = "collect[]"

_NAMES = "targets are names from the settings, never addresses"


class Refused(Exception):
    """The query can't be answered. The text is for the client, and has nothing that it sent."""

    def response(self) -> web.Response:
        """Return the answer."""
        return web.Response(status=400, text=f"{self}\n")


def target_name(query: MultiMapping[str], names: Collection[str]) -> str:
    """Return the target that `/probe` is asked for. Raise `Refused` unless it is one of `names`."""
    given = query.getall(TARGET, [])
    if len(given) != 1 or not given[0]:
        raise Refused(f"write one target, as in /probe?target=NAME; {_NAMES}")
    if given[0] not in names:
        raise Refused(f"there is no such target; {_NAMES}")
    return given[0]


def refuse_target(query: MultiMapping[str]) -> None:
    """Raise `Refused` if `/metrics` is asked for a target, or somebody would read the wrong PBS without knowing."""
    if TARGET in query:
        raise Refused("/metrics has the PBS of [pbs]; write /probe?target=NAME for another one")


def collector_names(query: MultiMapping[str], switches: Mapping[str, bool] | None) -> frozenset[str] | None:
    """Return the collectors that are to run, `None` for all. Raise `Refused` for one that can't.

    `switches` says which there are and are enabled; `None` if no PBS is asked.
    """
    given = query.getall(COLLECT, None)
    if given is None:
        return None
    if switches is None:
        raise Refused(f"{COLLECT} needs a PBS, and [pbs] has none; write /probe?target=NAME")
    if any(name not in switches for name in given):
        raise Refused(f"{COLLECT}: there is no such collector; there are {', '.join(switches)}")
    if any(not switches[name] for name in given):
        raise Refused(f"{COLLECT}: the collector is disabled in the settings")
    return frozenset(given)
