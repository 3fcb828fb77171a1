"""The token's secret is never in a log line, a page or an exception."""

import asyncio
import io
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from pbs_exporter.config import Secret
from pbs_exporter.log import configure
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.simulator import Fault
from tests.support.exporter import exporting, main_of, make_settings
from tests.support.metrics_page import LISTING_TIMES, facts, without
from tests.support.running import NAMESPACES, SNAPSHOTS, STATUS, running, simulated

SECRET = "c0ffee00-dead-4bad-8bad-feedfacecafe"

ENDPOINTS = (
    "/version",
    "/nodes/localhost/status",
    "/admin/datastore",
    "/status/datastore-usage",
    STATUS,
    NAMESPACES,
    SNAPSHOTS,
    "/nodes/localhost/tasks",
    "/admin/gc",
    "/tape/drive",
)

FAULTS = {
    "400": lambda: Fault.status(400, "no"),
    "401": lambda: Fault.status(401, "authentication failed"),
    "500": lambda: Fault.status(500, "no"),
    "redirect": lambda: Fault.redirect("https://elsewhere.invalid/"),
    "reset": Fault.reset,
    "partial head": Fault.partial_head,
    "cut": Fault.cut,
    "truncated": Fault.truncated,
    "html": lambda: Fault.body(b"<html>"),
    "wrong shape": lambda: Fault.json(7),
    "stall": Fault.stall,
    "stall in the body": Fault.stall_body,
    "drop": Fault.drop_kept,
}


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        found = todo.pop()
        if found in seen:
            continue
        seen.append(found)
        yield found
        todo += [other for other in (found.__cause__, found.__context__) if other is not None]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_shows_the_secret(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of any endpoint shows the secret in no log line, no page and no error of the chain."""
    errors: list[BaseException] = []
    get = Transport.get

    async def noting(transport: Transport, *args: object, **options: object) -> object:
        try:
            return await get(transport, *args, **options)  # type: ignore[arg-type]
        except Exception as error:
            errors.append(error)
            raise

    monkeypatch.setattr(Transport, "get", noting)
    monkeypatch.setattr("pbs_exporter.pbs.client.VERSION_SECONDS", 0.5)
    caplog.set_level(logging.DEBUG)
    pages = []
    async with (
        simulated(secret=SECRET) as pbs,
        exporting(make_settings(pbs, timeout_seconds=0.5, listing_timeout_seconds=0.5)) as exporter,
    ):
        with capture_logs() as logs:
            pages.append((await exporter.scrape()).text)
            for endpoint in ENDPOINTS:
                pbs.faults.add(endpoint, FAULTS[fault]())
            pages += [(await exporter.scrape()).text for _ in range(2)]
            async with exporter.client.get("/") as response:
                pages.append(await response.text())
    # The secret was sent, and a request failed, so this test could find it.
    assert any(SECRET in str(request.headers) for request in pbs.requests)
    assert errors or fault == "drop"
    texts = [*pages, *(repr(line) for line in logs), *(record.getMessage() for record in caplog.records)]
    for error in errors:
        texts += [f"{found} {found!r} {getattr(found, '__notes__', '')}" for found in chain(error)]
        texts.append("".join(traceback.format_exception(error)))
    assert not [text for text in texts if SECRET in text]


ECHO = f"PBSAPIToken=exporter@pbs!prometheus:{SECRET}"
ECHOES = {
    "a body": lambda: Fault.body(ECHO.encode()),
    "a body, cut early": lambda: Fault.body(f"{'x' * 29}{ECHO}".encode()),
    "a body, cut at the token's ID": lambda: Fault.body(f"{'x' * 20}{ECHO}".encode()),
    "the secret at the cut": lambda: Fault.body(f"{'x' * 50} {SECRET}".encode()),
    "a body in UTF-16": lambda: Fault.body(ECHO.encode("utf-16-le")),
    "a JSON text": lambda: Fault.json(ECHO),
    "an error": lambda: Fault.status(502, f"{'x' * 150} {ECHO}"),
    "a long error": lambda: Fault.status(502, f"{' ' * 65_480} {SECRET}"),
    "a redirect": lambda: Fault.redirect(f"https://elsewhere.invalid/{'x' * 150}?{SECRET}"),
    "no HTTP": lambda: Fault.raw(f"{ECHO}\r\n\r\n".encode()),
    "a long head": lambda: Fault.raw(f"HTTP/1.1 200 {'x' * 40}{ECHO}{'x' * 9000}\r\n\r\n".encode()),
}


@pytest.mark.parametrize("echo", ECHOES)
async def test_no_part_of_an_echoed_secret_is_shown(echo: str) -> None:
    """A PBS or a proxy that sends the request's header back shows no part of the secret, wherever its text was cut."""
    async with (
        simulated(secret=SECRET, token_id="exporter@pbs!prometheus") as pbs,
        exporting(make_settings(pbs)) as exporter,
    ):
        pbs.faults.add("*", ECHOES[echo]())
        with capture_logs() as logs:
            page = await exporter.scrape()
        async with exporter.client.get("/") as response:
            landing = await response.text()
    assert logs
    assert page.value("pbs_up") == 0
    assert SECRET[:3] not in page.text + landing.partition("<body>")[2] + repr(logs)


async def test_a_secret_that_was_read_again_is_hidden_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret that the file got later is masked in errors, on the page and in each line of the log, like the first."""
    new = "0ddba11-feed-4bad-8bad-feedfacecafe"
    file = tmp_path / "secret"
    file.write_text(new)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("info", "logfmt", [SECRET])
        async with running(token_secret=Secret(SECRET), token_secret_file=file) as setup:
            await setup.scrape()
            for secret in (SECRET, new):
                setup.pbs.faults.add("*", Fault.status(502, f"{'x' * 170} {secret}"))
                await setup.scrape()
                async with setup.exporter.client.get("/") as response:
                    assert secret[:3] not in (await response.text()).partition("<body>")[2]
                setup.pbs.faults.clear()
        logging.getLogger("some.library").warning("with %s and %s", SECRET, new)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    text = capsys.readouterr().err
    assert "with *** and ***" in text
    assert SECRET[:3] not in text
    assert new[:3] not in text


async def test_a_pbs_that_refuses_all_shows_no_secret() -> None:
    """If PBS refuses the token or can't be reached, the failure is named, without the secret."""
    async with running(token_secret=Secret(SECRET)) as setup:
        with capture_logs() as logs:
            for _ in range(4):
                page = await setup.scrape()
                assert SECRET not in page.text
            await setup.pbs.stop()
            setup.clock.advance(60)
            assert SECRET not in (await setup.scrape()).text
        async with setup.exporter.client.get("/") as response:
            assert SECRET not in await response.text()
        assert len(logs) >= 2
        assert SECRET not in repr(logs)


async def test_an_unforeseen_error_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback of an unexpected error is logged without the secret, and is on no page."""

    def bug(_self: TokenAuth) -> str:
        raise RuntimeError(f"a header with {SECRET}")

    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        monkeypatch.setattr("sys.stderr", stream)
        configure("info", "json", [SECRET])
        async with running(token_secret=Secret(SECRET)) as setup:
            whole = await setup.scrape()
            monkeypatch.setattr("pbs_exporter.pbs.client.PbsClient.gc", bug)
            page = await setup.scrape()
            async with setup.exporter.client.get("/") as response:
                landing = await response.text()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert whole.value("pbs_up") == 0
    assert page.value("pbs_up") == 0
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert any("a header with ***" in line.get("exception", "") for line in lines)
    assert SECRET not in stream.getvalue() + page.text + landing


async def test_settings_do_not_show_the_secret(tmp_path: Path) -> None:
    """The repr, str and format of the settings and of the secret itself don't show it."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    async with simulated(secret=SECRET) as pbs:
        settings = make_settings(pbs, token_secret_file=file)
    shown = (
        repr(settings),
        str(settings),
        f"{settings}",
        repr(main_of(settings).pbs),
        f"{main_of(settings).pbs.token_secret}",
    )
    assert all(SECRET not in text for text in shown)
    assert "***" in repr(settings)
    assert main_of(settings).pbs.token_secret.reveal() == SECRET
    assert str(main_of(settings).pbs.token_secret) == "***"


async def test_the_secret_goes_to_pbs_alone() -> None:
    """A redirect is never followed, so its target gets neither a request nor the token."""
    async with simulated(secret=SECRET) as elsewhere, running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("*", Fault.redirect(f"{elsewhere.endpoint}/api2/json/version"))
        page = await setup.scrape()
        assert page.value("pbs_up") == 0
        assert elsewhere.requests == []
        setup.pbs.faults.clear()
        again = without(facts(await setup.scrape()), *LISTING_TIMES)
        assert again == without(facts(whole), *LISTING_TIMES)


async def test_no_task_is_named_after_the_secret() -> None:
    """The names of running tasks, as a debugger or `asyncio` shows them, don't contain the secret."""
    async with simulated(secret=SECRET) as pbs, exporting(make_settings(pbs)) as exporter:
        pbs.faults.add(SNAPSHOTS, Fault.stall())
        await exporter.scrape(3)
        tasks = asyncio.all_tasks()
        assert any(task.get_name().startswith("listing of ") for task in tasks)
        assert SECRET not in repr(tasks)
