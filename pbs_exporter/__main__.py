"""The command line."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from logging.handlers import MemoryHandler
from typing import TYPE_CHECKING

from pbs_exporter import __revision__, __version__, standard_streams
from pbs_exporter.errors import ConfigError, PbsExporterError
from pbs_exporter.plain_text import has_surrogates

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

PORT_LIMIT = 65535
INTERRUPTED = 130
"""The exit code of a command that was ended by Ctrl-C, as in shells."""

DECADE_SECONDS = 3660 * 86400
"""PBS keeps nothing that is older."""

SAFE_SECONDS = 3 * 3600
"""The newest data of a running Prometheus, which a new block may make it forget."""

_EXAMPLES = """\
examples:
  pbs-exporter demo                            metrics of a simulated PBS on 127.0.0.1:9101
  pbs-exporter --config settings.toml check    check the connection and the token's privileges
  pbs-exporter --config settings.toml          serve metrics on the listen address
  pbs-exporter once --output /var/lib/node_exporter/pbs.prom
  pbs-exporter history --label job=pbs --label instance=localhost:9101 --output past.om

Environment variables (PBS_EXPORTER__PBS__ENDPOINT, ...) take precedence over the file. Without --config,
PBS_EXPORTER_CONFIG names the file, if it is set.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit code. A user's mistake is a line on stderr and exit code 1."""
    standard_streams.repair()
    run: Callable[[argparse.Namespace], int] | None = None
    try:
        try:
            parsed = parsers()[0].parse_args(arguments)
        except SystemExit:
            # After --help, --version or a wrong option. Python's own flush would end with a traceback.
            sys.stdout.flush()
            raise
        run = parsed.run
        _hold_warnings()
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            print(f"pbs-exporter: {problem}", file=sys.stderr)
        return 1
    except PbsExporterError as error:
        print(f"pbs-exporter: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # The reader closed the pipe (`| head`), or the disk is full.
        if not isinstance(error, BrokenPipeError):
            where = f" ({error.filename!r})" if error.filename else ""
            print(f"pbs-exporter: can't continue: {(error.strerror or str(error)).lower()}{where}", file=sys.stderr)
        # Otherwise Python's flush at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        # Ctrl-C is the regular end of a service, but aborts any other command.
        return 0 if run in (_serve, _demo) else INTERRUPTED
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose help isn't lost without an error if it can't be written."""

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        print(self.format_help(), end="", file=file or sys.stdout)


class _Version(argparse.Action):
    """Prints `const`, likewise."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(self.const)
        parser.exit()


def _hold_warnings() -> None:
    """Hold the warnings of libraries until a command configures the log. Python would write them to stderr as is."""
    logger = logging.getLogger("py.warnings")
    logger.handlers[:] = [MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize)]
    logging.captureWarnings(capture=True)


def parsers() -> list[argparse.ArgumentParser]:
    """Return the parser of the command line, followed by the parser of each command."""
    parser = _Parser(
        prog="pbs-exporter",
        description="Prometheus exporter for Proxmox Backup Server.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    revision = f" (revision {__revision__})" if __revision__ else ""
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        const=f"pbs-exporter {__version__}{revision}",
        default=argparse.SUPPRESS,
        help="show program's version number and exit",
    )
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _command(commands, "serve", _serve, "serve /metrics (the default)")
    _command(commands, "init", _init, "ask for what a settings file needs, write the file, and check it")
    check = _command(commands, "check", _check, "check the connection to PBS and the token's privileges")
    check.add_argument("names", metavar="NAME", nargs="*", help="only these targets; by default each PBS")
    once = _command(commands, "once", _once, "write the metrics of one scrape to standard output or a file")
    once.add_argument("--output", metavar="FILE", help="write to this file, atomically")
    history = _command(commands, "history", _history, "write what PBS keeps of its past, as OpenMetrics for promtool")
    for option, seconds, text in (
        ("--since", DECADE_SECONDS, "begin this long ago, as in 12h, 30d, 4w or 1y; by default with all that PBS has"),
        ("--until", SAFE_SECONDS, "end this long ago; by default 3h, which is safe for a Prometheus that has data"),
    ):
        history.add_argument(option, metavar="AGE", type=_age, default=seconds, help=text)
    history.add_argument("--output", metavar="FILE", required=True, help="write to this file, atomically; - for stdout")
    for command in (once, history):
        command.add_argument("--target", metavar="NAME", help="this target, instead of the PBS of [pbs]")
        command.add_argument(
            "--label", metavar="NAME=VALUE", type=_label, action="append", default=[], help="a label for each series"
        )
    _command(commands, "healthcheck", _healthcheck, "request the local /health; exit code 0 or 1")
    demo = _command(commands, "demo", _demo, "serve metrics of a simulated PBS")
    demo.add_argument(
        "--pbs-port", metavar="PORT", type=_port, help="also make the simulated PBS available on this port"
    )
    return [parser, *dict.fromkeys(commands.choices.values())]


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > PORT_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to {PORT_LIMIT}")
    return int(text)


def _command(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    # --config is also valid after the command.
    command.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings file (TOML)")
    command.set_defaults(run=run)
    return command


def _label(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", name) or has_surrogates(value):
        raise argparse.ArgumentTypeError(f"{text!a} is no label; write NAME=VALUE")
    return name, value


def _age(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5})([hdwy])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!a} is no age; write a number and h, d, w or y, such as 30d")
    return int(found[1]) * {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}[found[2]]


# Each command has its own imports, so that the health check, which runs every few seconds, starts fast.


def _handle_signals_at_start() -> None:
    """Set what signals do until the service runs: the imports take a while, and a name may hang."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Without a handler, the first process of a container doesn't even get it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _import_aiohttp() -> None:
    from pbs_exporter.commands import interpreter

    interpreter.import_aiohttp()


def _serve(arguments: argparse.Namespace) -> int:
    _handle_signals_at_start()
    _import_aiohttp()
    from pbs_exporter.collectors import DEFAULTS
    from pbs_exporter.commands import serve
    from pbs_exporter.config import load
    from pbs_exporter.scrape.scrape_metrics import LABELS

    return serve.run(lambda: load(arguments.config, os.environ, DEFAULTS, LABELS))


def _check(arguments: argparse.Namespace) -> int:
    _import_aiohttp()
    from pbs_exporter.collectors import DEFAULTS
    from pbs_exporter.commands import check
    from pbs_exporter.config import load
    from pbs_exporter.scrape.scrape_metrics import LABELS

    return check.run(*load(arguments.config, os.environ, DEFAULTS, LABELS), arguments.names)


def _init(arguments: argparse.Namespace) -> int:
    from pbs_exporter.commands import init
    from pbs_exporter.config.table import FILE_VARIABLE

    path = init.run(arguments.config or os.environ.get(FILE_VARIABLE, "").strip())
    return _check(argparse.Namespace(config=str(path), names=[]))


def _once(arguments: argparse.Namespace) -> int:
    _import_aiohttp()
    from pbs_exporter.collectors import DEFAULTS
    from pbs_exporter.commands import once
    from pbs_exporter.config import load

    loaded = load(arguments.config, os.environ, DEFAULTS)
    return once.run(*loaded, output=arguments.output, target=arguments.target, labels=dict(arguments.label))


def _history(arguments: argparse.Namespace) -> int:
    _import_aiohttp()
    from pbs_exporter.collectors import DEFAULTS
    from pbs_exporter.commands import history
    from pbs_exporter.config import load

    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C, so that no temporary file is left. Whoever ignores them (nohup) has a reason.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    if arguments.since <= arguments.until:
        raise ConfigError(["--since must be longer ago than --until, which is 3h by default"])
    return history.run(
        *load(arguments.config, os.environ, DEFAULTS),
        output=arguments.output,
        span=history.Span(arguments.since, arguments.until),
        target=arguments.target,
        labels=dict(arguments.label),
    )


def _healthcheck(arguments: argparse.Namespace) -> int:
    from pbs_exporter.commands import healthcheck
    from pbs_exporter.config import load_own_port

    return healthcheck.run(*load_own_port(arguments.config, os.environ))


def _demo(arguments: argparse.Namespace) -> int:
    _handle_signals_at_start()
    _import_aiohttp()
    from pbs_exporter.collectors import DEFAULTS
    from pbs_exporter.commands import demo
    from pbs_exporter.config import load_exporter

    return demo.run(load_exporter(arguments.config, os.environ, DEFAULTS, demo.DEFAULTS), arguments.pbs_port)


if __name__ == "__main__":
    sys.exit(main())
