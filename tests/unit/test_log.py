"""The log: one line per event, in three formats, and never a secret."""

import asyncio
import io
import json
import logging
import re
import sys
import threading
import warnings

import pytest
import structlog
from aiohttp import ClientSession, web

from pbs_exporter import log
from pbs_exporter.config import ExporterSettings, Secret
from pbs_exporter.standard_streams import PENDING_LIMIT
from pbs_exporter.web.access_log import AccessLogger

SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


def configure(log_format: str = "logfmt", level: str = "info") -> None:
    """Configure logging as the program does at start."""
    log.configure(level, log_format, [SECRET])


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on stderr; stdout must be empty."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "" or err.endswith("\n")
    return err.split("\n")[:-1]


def test_logfmt_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A logfmt line begins with time, level, logger and message, and quotes values that need it."""
    configure(ExporterSettings().log_format)
    structlog.get_logger("pbs_exporter.x").info("two words", datastore="a b", quoted='"', count=3, off=False, none=None)
    (line,) = written(capsys)
    assert re.fullmatch(
        rf'ts={TIME} level=info logger=pbs_exporter\.x msg="two words" '
        r'datastore="a b" quoted="?\\""? count=3 off=false none=',
        line,
    )


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line has the same keys, and typed values."""
    configure("json")
    structlog.get_logger("pbs_exporter.x").warning("two words", datastore="ü\n", count=3, off=False)
    (line,) = written(capsys)
    event = json.loads(line)
    assert re.fullmatch(TIME, event.pop("ts"))
    assert event == {
        "level": "warn",
        "logger": "pbs_exporter.x",
        "msg": "two words",
        "datastore": "ü\n",
        "count": 3,
        "off": False,
    }


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A console line has no escape codes if stderr is no terminal."""
    configure("console")
    structlog.get_logger("pbs_exporter.x").info("hello", datastore="main")
    (line,) = written(capsys)
    assert "hello" in line
    assert "datastore=main" in line
    assert "\x1b" not in line


LEVELS = ["debug", "info", "warn", "error"]


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
@pytest.mark.parametrize("stdlib", [False, True])
def test_no_text_writes_on_the_terminal(capsys: pytest.CaptureFixture[str], log_format: str, *, stdlib: bool) -> None:
    """Control characters, and those that change the order of a line, are escaped in messages and fields."""
    configure(log_format)
    text = "/a\x1b[2J\x9b31m\u202eb"
    if stdlib:
        logging.getLogger("x").warning(text)
    else:
        structlog.get_logger("x").warning("request", path=text)
    (line,) = written(capsys)
    assert line.isprintable()
    assert "a" + r"\x1b[2J" in line.replace(r"\u001b", r"\x1b")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("stdlib", [False, True])
def test_the_level_is_the_least_that_is_written(
    capsys: pytest.CaptureFixture[str], level: str, *, stdlib: bool
) -> None:
    """Everything from the set level up is written, from any logger, and each line has its level."""
    configure(level=level)
    logger = logging.getLogger("some.library") if stdlib else structlog.get_logger("pbs_exporter.x")
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)("event")
    found = [match[1] for line in written(capsys) if (match := re.search(r"level=(\w+)", line))]
    assert found == LEVELS[LEVELS.index(level) :]


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_the_standard_librarys_lines_look_the_same(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """Lines of aiohttp and asyncio use the same renderer, with their arguments filled in."""
    configure(log_format)
    logging.getLogger("aiohttp.server").warning("%s of %d", "one", 2)
    structlog.get_logger("aiohttp.server").warning("one of 2")
    foreign, own = (re.sub(TIME, "TIME", line) for line in written(capsys))
    assert foreign == own


def refuse() -> None:
    """Raise an error whose text has several lines and the secret."""
    raise ValueError(f"first\nsecond {SECRET}")


def fail() -> None:
    """Raise an error with the other as its cause."""
    try:
        refuse()
    except ValueError as error:
        raise RuntimeError("outer\r\nline\u2028end\x1b[2J\u202e") from error


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@pytest.mark.parametrize("stdlib", [False, True])
def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str], log_format: str, *, stdlib: bool) -> None:
    """A traceback, or any text with line breaks, stays on its line, complete but for the secret."""
    configure(log_format)
    logger = logging.getLogger("some.library") if stdlib else structlog.get_logger("pbs_exporter.x")
    try:
        fail()
    except RuntimeError:
        logger.exception("it\nfailed")
    (line,) = written(capsys)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\u202e" not in line
    for part in ("Traceback", "RuntimeError", "ValueError", "first", "second ***"):
        assert part in line
    assert SECRET not in line


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
def test_the_secret_is_taken_out_wherever_it_is(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """The token's secret is replaced in messages, fields, keys, nested values, arguments and other libraries' lines."""
    configure(log_format, "debug")
    own, foreign = structlog.get_logger("pbs_exporter.x"), logging.getLogger(f"lib.{SECRET}")
    own.info(f"message {SECRET}")
    own.info("field", header=f"PBSAPIToken=a@b!c:{SECRET}")
    own.info("nested", headers={"Authorization": [SECRET]})
    own.info("key", **{SECRET: 1})
    own.info("bytes", raw=f"x{SECRET}".encode())
    foreign.info("argument %s", SECRET)
    lines = written(capsys)
    assert len(lines) == 6
    assert all("***" in line and SECRET not in line for line in lines)


def test_a_secret_object_shows_itself_to_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A `Secret` that is logged by mistake is `***`, even if logging doesn't know it."""
    configure()
    structlog.get_logger("pbs_exporter.x").info("oops", secret=Secret("another-secret"))
    (line,) = written(capsys)
    assert "another-secret" not in line
    assert "***" in line


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_requests_are_logged_at_debug_without_their_query(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """Each request is one line at debug, with its path and without its query; at info there is none."""
    configure(level=level)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_get("/health", handler)
    runner = web.AppRunner(app, access_log_class=AccessLogger)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/health?password=hunter2"
        async with ClientSession() as session, session.get(url) as response:
            assert response.status == 200
        lines: list[str] = []
        # The line is written after the answer is sent.
        for _ in range(100):
            lines += [line for line in written(capsys) if "pbs_exporter.access" in line]
            if lines or level == "info":
                break
            await asyncio.sleep(0.02)
    finally:
        await runner.cleanup()
    lines += [line for line in written(capsys) if "pbs_exporter.access" in line]
    assert len(lines) == (level == "debug")
    for line in lines:
        assert "level=debug" in line
        assert "method=GET path=/health status=200" in line
        assert "hunter2" not in line


def test_configuring_again_replaces_what_was(capsys: pytest.CaptureFixture[str]) -> None:
    """A second configuration doesn't duplicate lines."""
    configure("json")
    configure("logfmt")
    logging.getLogger("x").warning("once")
    (line,) = written(capsys)
    assert line.startswith("ts=")


class Stuck(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(30)
        return super().write(text)


def test_lines_that_are_lost_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that takes nothing costs lines and no time; when it takes lines again, one says how many were lost."""
    stream = Stuck()
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    logger = logging.getLogger("x")
    for _ in range(5):
        logger.warning("y" * PENDING_LIMIT)
    stream.go.set()
    logging.getLogger().handlers[0].flush()
    logger.warning("end")
    lines = [line.partition("msg=")[2] for line in stream.getvalue().splitlines()]
    assert [line for line in lines if not line.startswith("y")] == ['"log lines lost: 4"', "end"]


def test_a_closed_stream_costs_nothing_but_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging to a stream that is closed raises nothing."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    logging.getLogger("x").warning("nobody reads this")


def test_a_line_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, logging raises nothing and writes its lines, and later lines have a thread."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        logging.getLogger("x").warning("one")
        logging.getLogger("x").warning("two")
    logging.getLogger("x").warning("three")
    logging.getLogger().handlers[0].flush()
    assert [line.partition("msg=")[2] for line in stream.getvalue().splitlines()] == ["one", "two", "three"]


def no_thread(_thread: threading.Thread) -> None:
    """Fail as Python does at the limit of threads."""
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_a_librarys_warning_is_a_line(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """A Python warning is one line at the level warn, with its category and without its source text."""
    configure(log_format)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(log_format)
        warnings.warn(f"two\nlines of {SECRET}", UserWarning, stacklevel=1)
    (line,) = written(capsys)
    for part in ("warn", "py.warnings", "UserWarning", "lines of ***", "test_log.py:"):
        assert part in line
    assert "stacklevel" not in line
