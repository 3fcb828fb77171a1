"""`/sd`: the targets, as Prometheus's `http_sd_configs` expects them."""

from collections.abc import Mapping

import msgspec
from aiohttp import hdrs, web

from pbs_exporter.config import ExternalUrl, TargetConfig, is_address

PROBE = "/probe"


class _Group(msgspec.Struct, frozen=True):
    targets: list[str]
    labels: Mapping[str, str]


def discovery(request: web.Request, targets: Mapping[str, TargetConfig], external: ExternalUrl | None) -> web.Response:
    """Return one group for each target, at the address that the request or the settings name.

    A proxy's headers aren't believed: anybody can send them.
    """
    url = external or _own_url(request)
    if url is None:
        return web.Response(status=400, text="The Host header is no host name or address.\n")
    groups = [_Group([url.address], _labels(name, config, url)) for name, config in targets.items()]
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(body=msgspec.json.encode(groups), content_type="application/json", headers=headers)


def _own_url(request: web.Request) -> ExternalUrl | None:
    hosts = request.headers.getall(hdrs.HOST, ())
    if len(hosts) != 1 or not is_address(hosts[0]):
        return None
    return ExternalUrl(request.scheme, hosts[0], "")


def _labels(name: str, config: TargetConfig, url: ExternalUrl) -> dict[str, str]:
    scheme = {"__scheme__": url.scheme} if url.scheme == "https" else {}
    return {
        "__metrics_path__": f"{url.prefix}{PROBE}",
        "__param_target": name,
        "instance": name,
        **scheme,
        **config.labels,
    }
