"""`pbs-exporter check`: tests the connection, the token and its privileges, and prints how to fix problems."""

import asyncio
import hashlib
import ssl
from collections.abc import Mapping, Sequence

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import AnyCollector, enabled, switched_on
from pbs_exporter.collectors.privileges import Permissions, grants, missing
from pbs_exporter.commands.client import client_of
from pbs_exporter.config import Settings, TargetConfig, TargetSettings
from pbs_exporter.errors import LoginRefused, PbsError
from pbs_exporter.pbs.http.certificate_dates import certificate_dates
from pbs_exporter.pbs.http.tls import peer_certificate
from pbs_exporter.plain_text import first_line


def run(settings: Settings, warnings: Sequence[str], names: Sequence[str] = ()) -> int:
    """Print the results of the targets with these names, or of each PBS. Return 0 if everything works, otherwise 1.

    Raise `ConfigError` for a name that no target has.
    """
    configs = {name: settings.config_of(name) for name in names} or settings.configs
    # Only libraries log something here.
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, settings.secrets)
    for warning in warnings:
        print(f"warning: {warning}")
    return asyncio.run(_check_all(configs))


async def _check_all(configs: Mapping[str, TargetConfig]) -> int:
    codes: list[int] = []
    for name, config in configs.items():
        if codes:
            print()
        if name or len(configs) > 1:
            _row("target", name or "[pbs], which /metrics shows")
        codes.append(await _check(config.pbs, switched_on(COLLECTORS, config.collectors)))
    return max(codes)


async def _check(settings: TargetSettings, collectors: Sequence[AnyCollector]) -> int:
    _row("endpoint", settings.endpoint)
    _row("tls", await _tls(settings))
    async with client_of(settings, Clock()) as (client, auth):
        try:
            version = await client.version()
            _row("version", first_line(auth.hide(f"PBS {version.version}.{version.release}")))
            _row("login", f"ok, as {settings.token_id}")
            permissions = await client.permissions()
        except LoginRefused as error:
            _row("login", f"FAILED as {settings.token_id}: {error}")
            return 1
        except PbsError as error:
            _row("connection", f"FAILED: {error}")
            return 1
    return _privileges(collectors, permissions, settings.token_id)


async def _tls(settings: TargetSettings) -> str:
    if settings.endpoint.startswith("http://"):
        return "none: the token is sent unencrypted"
    try:
        der = await peer_certificate(settings.endpoint, settings.timeout_seconds)
        expires = certificate_dates(der).not_after
    except (OSError, ssl.SSLError, PbsError) as error:
        return f"no certificate: {first_line(str(error)) or 'no answer in time'}"
    fingerprint = hashlib.sha256(der).digest().hex(":")
    # The certificate is verified by the API requests, not here.
    verified = "verification on" if settings.verify_tls else "NOT verified"
    return f"{verified}; certificate expires {expires:%Y-%m-%d}, fingerprint\n{'':12}{fingerprint}"


def _privileges(collectors: Sequence[AnyCollector], permissions: Permissions, token_id: str) -> int:
    print(f"\n{'collector':14}{'privilege':18}{'path':18}granted")
    needed = enabled(collectors)
    lacking = missing(needed, permissions)
    for name, needs in needed.items():
        for need in needs:
            print(f"{name:14}{need.privilege:18}{need.path:18}{'NO' if need in lacking else 'yes'}")
    if lacking:
        print("\nA token has only privileges that its user has too. Run this as root on PBS to grant the missing ones:")
        for line in grants(lacking, permissions, token_id):
            print(f"  {line}")
    return 1 if lacking else 0


def _row(subject: str, result: str) -> None:
    print(f"{subject:12}{result}")
