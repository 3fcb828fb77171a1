"""Replacements for what is private in PBS's answers: names, addresses, fingerprints, serial numbers, owners, notes.

Numbers stay, and so do the texts of the keys that are listed here as the same. Every other text is replaced. Equal
texts get equal replacements, even in paths, queries, UPIDs and worker IDs, so a replay has the same metrics with other
names.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pbs_exporter.simulator import api

OWN_TOKEN = "exporter@pbs!metrics"  # noqa: S105 - a token's name
"""The replacement for the token that asks: the token of the simulated PBS, so that a replay finds its expiry."""

_UNSENT = {"since"}
"""Query parameters that depend on the time of the recording. A replay ignores them."""

_KEPT_NAMES = {"", "ns", "vm", "ct", "host", "localhost", "root", "pam", "pbs"}
"""PBS's own words in the places of names: in worker IDs, and in user IDs."""

_ARCHIVE = re.compile(r"(.+?)((?:\.(?:img|m?pxar|ppxar|conf|log|json|pcat1))?\.(?:didx|fidx|blob))")
_KEPT_ARCHIVE = re.compile(
    r"index|client|catalog|root|pct|qemu-server|fw|mp\d+|drive-(?:scsi|ide|sata|virtio|efidisk|tpmstate)\d+"
)

_ERRORS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"authentication failed",
        r"permission check failed\.?",
        r"permission check failed - missing [\w.|]+ on (?P<privilege_path>/\S*)",
        r"parameter verification failed - '[\w-]+': [a-z ]+\.",
        r"Path '/api2/json(?P<path>/\S*)' not found\.",
        r"ENOENT: No such file or directory",
        r"no such datastore '(?P<datastore>[^']+)'",
        r"datastore '(?P<datastore>[^']+)' is not mounted",
        r"datastore '(?P<datastore>[^']+)' is being (?:deleted|unmounted)",
        r"datastore '(?P<datastore>[^']+)' is (?:in|unavailable:) [\w ]+ maintenance mode(?:: (?P<note>.+))?",
        r'unable to open chunk store at "(?P<directory>[^"]+)" - [\w ]+ \(os error \d+\)',
    )
)
"""PBS's errors. Their groups are private, and named after the kind. The text of any other error is left out."""

_WITH_TIME = re.compile(r"(.*(?:vm|ct|host)/[^/:]+)(/[0-9A-F]{8,})")
_UPID_PARTS = 10

_OTHER_ERROR = "an error whose text is left out"


def _same(text: str) -> str:
    return text


class Scrubber:
    """Replaces what is private in the answers of one PBS."""

    def __init__(self, token_id: str) -> None:
        self._own_token = token_id
        self._own_user = token_id.partition("!")[0]
        self._names: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()
        self._other = self._kind("text")
        self._fields: Mapping[str, Callable[[str], str]] = {
            **dict.fromkeys(("store", "remote-store"), self._kind("datastore")),
            **dict.fromkeys(("ns", "remote-ns"), self.namespace),
            **dict.fromkeys(("owner", "user", "userid", "tokenid"), self.auth_id),
            **dict.fromkeys(("upid", "last-run-upid"), self.upid),
            **dict.fromkeys(("drive", "changer", "name"), self._kind("device")),
            **dict.fromkeys(("label-text", "next-media-label"), self._kind("tape")),
            **dict.fromkeys(("filename", "files"), self.archive),
            **dict.fromkeys(
                ("backend-type", "backup-type", "crypt-mode", "mount-status", "schedule", "state", "sync-direction"),
                _same,
            ),
            "backup-id": self._kind("id"),
            "comment": self.note,
            "error": self.error,
            "fingerprint": self._kind("fingerprint"),
            "id": self._kind("job"),
            "last-run-state": self.outcome,
            "maintenance": self.maintenance,
            "node": self._kind("node"),
            "pool": self._kind("pool"),
            "remote": self._kind("remote"),
            "serial": self._kind("serial"),
            "tokenname": self._kind("token"),
            "worker_id": self.worker_id,
            "worker_type": _same,
        }
        self._special: Mapping[str, Mapping[str, Callable[[str], str]]] = {
            "/version": dict.fromkeys(("version", "release", "repoid"), _same),
            "/nodes/{node}/disks/list": dict.fromkeys(
                ("name", "model", "vendor", "status", "disk-type", "used"), _same
            ),
            "/nodes/{node}/disks/zfs": {"name": self._kind("pool"), "health": _same},
            "/nodes/{node}/services": dict.fromkeys(("name", "service", "unit-state"), _same),
            "/nodes/{node}/status": dict.fromkeys(("model", "release", "mode", "machine", "sysname"), _same),
            "/nodes/{node}/subscription": dict.fromkeys(("status", "nextduedate"), _same),
            "/nodes/{node}/tasks": {"status": self.outcome},
            "/status/metrics": {"id": self.metric_id, "metric": _same, "type": _same},
            "/tape/drive": dict.fromkeys(("vendor", "model"), _same),
            "/tape/media/list": {"location": self.location, "status": _same},
        }

    def path(self, path: str) -> str:
        """Return a request's path. Both are percent-encoded, without `/api2/json`."""
        found = api.find(path)
        if found is None:
            return quote(self._split("path", unquote(path)))
        endpoint, variables = found
        kinds = {"store": "datastore", "node": "node"}
        names = {key: quote(self.name(kinds[key], value), safe="") for key, value in variables.items()}
        return endpoint.template.format(**names)

    def query(self, query: str) -> str:
        """Return a request's query. The client generates all its values except a namespace."""
        pairs = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key not in _UNSENT]
        return urlencode(
            [(key, self.namespace(value) if key == "ns" else value) for key, value in pairs], quote_via=quote
        )

    def content(self, path: str, content: bytes) -> bytes:
        """Return the body of an answer, with `path` as it was sent."""
        try:
            value = json.loads(content)
        except ValueError:
            return self.error(content.decode(errors="replace")).encode()
        found = api.find(path)
        template = found[0].template if found else path
        new = self._value({**self._fields, **self._special.get(template, {})}, "", value)
        if template == "/access/permissions" and isinstance(new, dict) and isinstance(new.get("data"), dict):
            # The only endpoint whose keys are names.
            new["data"] = {self.privilege_path(key): privileges for key, privileges in new["data"].items()}
        return json.dumps(new, ensure_ascii=False, separators=(",", ":")).encode()

    def name(self, kind: str, text: str) -> str:
        """Return the replacement of a name. `kind` is the beginning of a new replacement."""
        if text in _KEPT_NAMES:
            return text
        if text not in self._names:
            self._numbers[kind] += 1
            new = f"{kind}{self._numbers[kind]}"
            if kind == "fingerprint":
                new = hashlib.sha256(new.encode()).digest().hex(":")
            self._names[text] = new
        return self._names[text]

    def namespace(self, text: str) -> str:
        """Return a namespace, part by part."""
        return self._split("ns", text)

    def auth_id(self, text: str) -> str:
        """Return a user or a token: `USER@REALM` or `USER@REALM!TOKEN`."""
        if text == self._own_token:
            return OWN_TOKEN
        user_id, separator, token = text.partition("!")
        user, _, realm = user_id.rpartition("@")
        new = f"{self.name('user', user)}@{self.name('realm', realm)}"
        if user_id == self._own_user:
            new = OWN_TOKEN.partition("!")[0]
        return f"{new}!{self.name('token', token)}" if separator else new

    def worker_id(self, text: str) -> str:
        """Return a worker ID, as `STORE:ns/A/ns/B/TYPE/ID/HEXTIME`: the words and the time in it stay."""
        match = _WITH_TIME.fullmatch(text)
        names, time = match.groups() if match else (text, "")
        parts = enumerate(re.split(r"([:/])", names))
        new = (part if part in ":/" else self.name("id" if at else "datastore", part) for at, part in parts)
        return "".join((*new, time))

    def upid(self, text: str) -> str:
        """Return a UPID, whose worker ID is escaped as systemd escapes a unit's name."""
        parts = text.split(":")
        if len(parts) != _UPID_PARTS:
            return self._other(text)
        parts[1] = self.name("node", parts[1])
        parts[7] = _escaped(self.worker_id(_unescaped(parts[7])))
        parts[8] = self.auth_id(parts[8])
        return ":".join(parts)

    def archive(self, text: str) -> str:
        """Return the name of a file in a snapshot, with its ending."""
        match = _ARCHIVE.fullmatch(text)
        if match is None:
            return self.name("archive", text)
        return text if _KEPT_ARCHIVE.fullmatch(match[1]) else self.name("archive", match[1]) + match[2]

    def note(self, text: str) -> str:
        """Return a text that a user wrote, line by line, because some metrics show only the first line."""
        return "".join(
            part if at % 2 else self.name("note", part) for at, part in enumerate(re.split(r"([\r\n]+)", text))
        )

    def maintenance(self, text: str) -> str:
        """Return a maintenance mode, as `MODE` or `MODE,message=…`."""
        mode, separator, message = text.partition(",message=")
        return mode.partition(",")[0] + (separator and separator + self.note(message))

    def outcome(self, text: str) -> str:
        """Return how a task ended. An error's text can be any text."""
        return text if re.fullmatch(r"OK|unknown|WARNINGS: \d+", text) else self.name("error", text)

    def location(self, text: str) -> str:
        """Return the place of a tape: `offline`, `online-CHANGER` or `vault-NAME`."""
        kind, _, name = text.partition("-")
        names = {"online": "device", "vault": "vault"}
        if kind in names:
            return f"{kind}-{self.name(names[kind], name)}"
        return text if text == "offline" else self.name("place", text)

    def metric_id(self, text: str) -> str:
        """Return the object of a metric of PBS: `host`, `datastore/NAME` or `datastore/NAME/s3`."""
        kind, *names = text.split("/")
        new = [name if at and name == "s3" else self.name(kind, name) for at, name in enumerate(names)]
        return "/".join((kind, *new))

    def privilege_path(self, text: str) -> str:
        """Return a path that privileges are granted on, as `/datastore/NAME/NAMESPACE`."""
        _, kind, *names = text.split("/") if text != "/" else ("", "")
        kept = kind in {"access", "system"} or (kind == "tape" and names[:1] in (["device"], ["pool"], ["job"]))
        new = [
            name if kept and at == 0 else self.name("ns" if kind == "datastore" and at else kind, name)
            for at, name in enumerate(names)
        ]
        return "/".join(("", kind, *new))

    def error(self, text: str) -> str:
        """Return an error of PBS: its text if it is a known one."""
        for pattern in _ERRORS:
            if match := pattern.fullmatch(text.strip()):
                return self._groups(match)
        return _OTHER_ERROR

    def _groups(self, match: re.Match[str]) -> str:
        kinds = {"privilege_path": self.privilege_path, "path": self.path, "note": self.note}
        text, end = "", 0
        for kind, original in match.groupdict().items():
            if original is not None:
                new = kinds.get(kind, self._kind(kind))(original)
                text, end = text + match.string[end : match.start(kind)] + new, match.end(kind)
        return text + match.string[end:]

    def _value(self, fields: Mapping[str, Callable[[str], str]], key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
        match value:
            case str():
                return fields.get(key, self._other)(value)
            case list():
                return [self._value(fields, key, item) for item in value]
            case dict():
                return {name: self._value(fields, name, item) for name, item in value.items()}
        return value

    def _split(self, kind: str, text: str) -> str:
        return "/".join(self.name(kind, part) for part in text.split("/"))

    def _kind(self, kind: str) -> Callable[[str], str]:
        return lambda text: self.name(kind, text)


def _unescaped(text: str) -> str:
    pieces = re.split(r"\\x([0-9a-f]{2})", text)
    raw = (bytes.fromhex(piece) if at % 2 else piece.replace("-", "/").encode() for at, piece in enumerate(pieces))
    return b"".join(raw).decode(errors="replace")


def _escaped(text: str) -> str:
    return re.sub(
        r"[^A-Za-z0-9_.]",
        lambda match: "-" if match[0] == "/" else "".join(f"\\x{byte:02x}" for byte in match[0].encode()),
        text,
    )
