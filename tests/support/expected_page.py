"""The expected page of a recording, computed from the recorded bodies.

A second implementation of the metrics, in plain loops over plain JSON. It shares no code with the exporter, so that
an error in one of them is found.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support.expected_collectors import others, requests_of_others, slow_state, with_disks

WINDOW_SECONDS = 86_400
COLLECTORS = (
    *("host", "datastores", "snapshots", "tasks", "gc", "tape", "jobs", "io", "s3", "tape_media"),
    *("subscription", "updates", "services", "certificate", "access", "groups"),
)

HOST = (
    "pbs_host_cpu_usage",
    "pbs_host_io_wait",
    *(f"pbs_host_load{minutes}" for minutes in (1, 5, 15)),
    *(f"pbs_host_memory_{key}_bytes" for key in ("used", "total", "free")),
    *(f"pbs_host_swap_{key}_bytes" for key in ("used", "total", "free")),
    *(f"pbs_host_rootfs_{key}_bytes" for key in ("used", "total", "avail")),
    "pbs_host_uptime_seconds",
)
Json = Any
Labels = frozenset[tuple[str, str]]
Row = tuple[str, dict[str, str], float | None]
"""Metric, labels and value. The value is `None` if PBS doesn't report it."""


class Recording:
    """The answers that the monitoring token got."""

    def __init__(self, file: Path) -> None:
        head, *answers = [json.loads(line) for line in file.read_text().split("\n") if line]
        self.name = file.stem
        self.time: int = head["recorded"]
        self._answers: dict[tuple[str, str], Json] = {
            (answer["path"], answer.get("query", "")): answer for answer in answers if answer["token"] == "exporter"
        }

    def status(self, path: str, query: str = "") -> int:
        """Return the answer's status."""
        status: int = self._answers[path, query]["status"]
        return status

    def data(self, path: str, query: str = "") -> Json:
        """Return the answer's `data`, or `None` if PBS refused."""
        answer = self._answers[path, query]
        return answer["body"]["data"] if answer["status"] == 200 else None

    def rows(self, store: str, namespace: str, what: str = "snapshots") -> Json:
        """Return a namespace's snapshots or groups. Some recordings have the root only without `ns`."""
        path = f"/admin/datastore/{store}/{what}"
        query = f"ns={namespace.replace('/', '%2F')}"
        return self.data(path, query if namespace or (path, query) in self._answers else "")


def expected_series(recording: Recording) -> dict[str, dict[Labels, float]]:
    """Return all series by metric. Beside these, a page has only the exporter's metrics of itself."""
    found: dict[str, dict[Labels, float]] = defaultdict(dict)
    listings = dict(_listings(recording))
    shown = {store: listing for store, listing in listings.items() if listing is not None}
    for name, labels, value in (
        *_about(recording, listings),
        *_host(recording),
        *_datastores(recording),
        *_snapshots(shown, recording.time),
        *_groups(recording, shown),
        *_tasks(recording, shown),
        *_gc(recording),
        *_tape(recording),
        *others(recording),
    ):
        if value is not None:
            key = frozenset(labels.items())
            assert key not in found[name], f"{name}{labels} is expected twice"
            found[name][key] = float(value)
    return dict(found)


def requests(recording: Recording) -> dict[tuple[str, str], int]:
    """Return the number of requests per scrape, by path template and status."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    found["/nodes/localhost/tasks", "200"] = 2
    found["/tape/drive", "200"] = 1
    for path in ("/version", "/nodes/localhost/status", "/status/datastore-usage", "/admin/datastore", "/admin/gc"):
        found[path, str(recording.status(path))] += 1
    found["/admin/datastore", str(recording.status("/admin/datastore"))] += 1
    for store in _asked(recording):
        path = f"/admin/datastore/{store}"
        if recording.status("/status/datastore-usage") != 200:
            found["/admin/datastore/{store}/status", str(recording.status(f"{path}/status"))] += 1
        # For the snapshots, and for the groups' notes.
        found["/admin/datastore/{store}/namespace", str(recording.status(f"{path}/namespace"))] += 2
        for row in recording.data(f"{path}/namespace") or ():
            for what in ("groups", "snapshots"):
                refused = recording.rows(store, row["ns"], what) is None
                found[f"/admin/datastore/{{store}}/{what}", "400" if refused else "200"] += 1
    for key, number in requests_of_others(recording).items():
        found[key] += number
    return dict(found)


def comment_label(value: str | None) -> str:
    """Return a comment's label. The recordings have no control characters; some comments have several lines."""
    line = (value or "").split("\n")[0]
    return line if len(line) <= 64 else line[:63] + "…"


def _about(recording: Recording, listings: dict[str, Json]) -> Iterator[Row]:
    version = recording.data("/version")
    yield "pbs_up", {}, 1
    yield "pbs_version", {key: version[key] for key in ("version", "release", "repoid")}, 1
    # A replay's clock is the time of the recording.
    yield "pbs_host_time_seconds", {}, recording.time
    usage_refused = recording.status("/status/datastore-usage") != 200
    success = dict.fromkeys(COLLECTORS, 1)
    success["host"] = int(recording.status("/nodes/localhost/status") == 200)
    success["datastores"] = int(not usage_refused)
    success["snapshots"] = success["groups"] = int(None not in listings.values())
    for collector in ("updates", "services"):
        success[collector] = int(slow_state(recording, collector) == "good")
    if with_disks(recording):
        # `zpool` is missing there.
        success["disks"] = 0
    for collector in success:
        yield "pbs_scrape_collector_success", {"collector": collector}, success[collector]
    for store, listing in listings.items():
        # Where a listing is refused, the groups are too.
        for collector in ("snapshots", "groups"):
            labels = {"collector": collector, "datastore": store}
            yield "pbs_scrape_datastore_success", labels, int(listing is not None)
        if usage_refused:
            good = recording.status(f"/admin/datastore/{store}/status") == 200
            yield "pbs_scrape_datastore_success", labels | {"collector": "datastores"}, int(good)


def _host(recording: Recording) -> Iterator[Row]:
    status = recording.data("/nodes/localhost/status")
    if status is None:
        return
    memory, swap, root = status["memory"], status["swap"], status["root"]
    values = (
        status["cpu"],
        status["wait"],
        *status["loadavg"],
        *(memory["used"], memory["total"], memory["free"]),
        *(swap["used"], swap["total"], swap["free"]),
        *(root["used"], root["total"], root["avail"]),
        status["uptime"],
    )
    for name, value in zip(HOST, values, strict=True):
        yield name, {}, value
    yield "pbs_host_cpus", {}, status["cpuinfo"]["cpus"]
    labels = {
        "cpu_model": status["cpuinfo"]["model"],
        "kernel": status["current-kernel"]["release"],
        "boot_mode": status["boot-info"]["mode"],
        "secureboot": "1" if status["boot-info"]["secureboot"] else "0",
    }
    yield "pbs_host_info", labels, 1


def mode(row: Json) -> str | None:
    """Return the maintenance mode. The recordings have only the form `MODE` or `MODE,message=…`."""
    return row["maintenance"].split(",")[0] if row.get("maintenance") else None


def _asked(recording: Recording) -> Iterator[str]:
    """Yield the datastores that a scrape queries: all except those in maintenance or not mounted."""
    for row in recording.data("/admin/datastore"):
        if mode(row) in (None, "read-only") and row.get("mount-status") != "notmounted":
            yield row["store"]


def _datastores(recording: Recording) -> Iterator[Row]:
    rows, asked = recording.data("/admin/datastore"), list(_asked(recording))
    readable = {row["store"]: 0 for row in rows if row["store"] not in asked}
    for row in rows:
        labels = {"datastore": row["store"]}
        about = {"backend": row.get("backend-type", ""), "comment": comment_label(row.get("comment"))}
        yield "pbs_datastore_info", labels | about, 1
        if mode(row) is not None:
            yield "pbs_datastore_maintenance", labels | {"mode": mode(row) or ""}, 1
        if row.get("mount-status", "nonremovable") != "nonremovable":
            yield "pbs_datastore_mounted", labels, int(row["mount-status"] == "mounted")
    usage = recording.data("/status/datastore-usage")
    if usage is None:
        paths = {store: f"/admin/datastore/{store}/status" for store in asked}
        readable |= {store: 0 for store, path in paths.items() if recording.status(path) == 400}
        usage = [{"store": store} | (recording.data(path) or {}) for store, path in paths.items()]
    for row in usage:
        labels = {"datastore": row["store"]}
        if row.get("total"):
            readable[row["store"]] = 1
            yield "pbs_datastore_total_bytes", labels, row["total"]
            yield "pbs_datastore_used_bytes", labels, row["used"]
            yield "pbs_datastore_available_bytes", labels, row["avail"]
        elif row.get("error"):
            readable[row["store"]] = 0
        gc = row.get("gc-status")
        if gc and gc["upid"] and gc["disk-bytes"]:
            yield "pbs_datastore_deduplication_factor", labels, gc["index-data-bytes"] / gc["disk-bytes"]
    for store, value in readable.items():
        yield "pbs_datastore_readable", {"datastore": store}, value


def _listings(recording: Recording) -> Iterator[tuple[str, Json]]:
    """Yield each datastore's snapshots by namespace, or `None` if one of the requests was refused."""
    for store in _asked(recording):
        namespaces = recording.data(f"/admin/datastore/{store}/namespace")
        if namespaces is None:
            yield store, None
            continue
        listing = {row["ns"]: recording.rows(store, row["ns"]) for row in namespaces}
        yield store, None if None in listing.values() else listing


def grouped(rows: Iterable[Json]) -> dict[tuple[str, str], list[Json]]:
    """Sort rows into groups."""
    found: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for row in rows:
        found[row["backup-type"], row["backup-id"]].append(row)
    return found


def verification_state(row: Json) -> str:
    """Return a snapshot's verification state."""
    return str(row["verification"]["state"]) if row.get("verification") else "none"


def encrypted(row: Json) -> bool:
    """Whether any file of the snapshot is encrypted."""
    return "encrypt" in [file.get("crypt-mode") for file in row["files"]]


def _snapshots(listings: dict[str, Json], now: int) -> Iterator[Row]:
    for store, listing in listings.items():
        yield "pbs_datastore_namespaces", {"datastore": store}, len(listing)
        yield "pbs_snapshot_listing_timestamp_seconds", {"datastore": store}, now
        yield "pbs_snapshot_full_listing_timestamp_seconds", {"datastore": store}, now
        for namespace, rows in listing.items():
            for (backup_type, backup_id), group in grouped(rows).items():
                labels = {
                    "datastore": store,
                    "namespace": namespace,
                    "backup_type": backup_type,
                    "backup_id": backup_id,
                }
                for name, more, value in _group(group):
                    yield f"pbs_snapshot_{name}", labels | more, value


def _groups(recording: Recording, listings: dict[str, Json]) -> Iterator[Row]:
    for store, listing in listings.items():
        for namespace, rows in listing.items():
            notes = {
                (row["backup-type"], row["backup-id"]): row.get("comment")
                for row in recording.rows(store, namespace, "groups")
            }
            for (backup_type, backup_id), group in grouped(rows).items():
                commented = [row for row in group if row.get("comment")]
                newest = max(commented, key=lambda row: row["backup-time"], default={"comment": ""})
                labels = {
                    "datastore": store,
                    "namespace": namespace,
                    "backup_type": backup_type,
                    "backup_id": backup_id,
                    "owner": group[0]["owner"],
                    "comment": comment_label(newest["comment"]),
                    "group_comment": comment_label(notes[backup_type, backup_id]),
                }
                yield "pbs_group_info", labels, 1


def _group(group: list[Json]) -> Iterator[Row]:
    for row in group:
        labels = {
            "backup_time": str(row["backup-time"]),
            "comment": comment_label(row.get("comment")),
            "owner": row["owner"],
            "verification_state": verification_state(row),
        }
        yield "info", labels, 1
    yield "count", {}, len(group)
    sizeless = [[file["filename"] for file in row["files"]] for row in group if "size" not in row]
    yield "unfinished", {}, len([names for names in sizeless if "index.json.blob" not in names])
    yield "damaged", {}, len([names for names in sizeless if "index.json.blob" in names])
    yield "protected", {}, len([row for row in group if row["protected"]])
    yield "encrypted", {}, len([row for row in group if encrypted(row)])
    for state in ("ok", "failed", "none"):
        yield "verification", {"state": state}, len([row for row in group if verification_state(row) == state])
    starts = [int(row["verification"]["upid"].split(":")[5], 16) for row in group if row.get("verification")]
    yield "last_verification_timestamp_seconds", {}, max(starts) if starts else None
    finished = sorted((row for row in group if "size" in row), key=lambda row: -row["backup-time"])
    if finished:
        newest = finished[0]
        yield "size_bytes", {}, newest["size"]
        yield "last_timestamp_seconds", {}, newest["backup-time"]
        yield "first_timestamp_seconds", {}, finished[-1]["backup-time"]
        yield "logical_size_bytes", {}, sum(row["size"] for row in finished)
        yield "last_encrypted", {}, int(encrypted(newest))
        for state in ("ok", "failed", "none"):
            yield "last_verification", {"state": state}, int(verification_state(newest) == state)


def state(task: Json) -> str:
    """Return a task's state."""
    status = task.get("status")
    if status is None:
        return "running"
    if status.startswith("WARNINGS: "):
        return "warning"
    return {"OK": "ok", "unknown": "unknown"}.get(status, "error")


def worker_id(task: Json) -> str:
    """Return a task's worker ID, without the time of a snapshot."""
    name = task["worker_id"] or ""
    return name.rpartition("/")[0] if task["worker_type"] in ("reader", "verify_snapshot") else name


def note(task: Json, listings: dict[str, Json]) -> str:
    """Return a backup task's comment."""
    if task["worker_type"] != "backup":
        return ""
    store, _, group = task["worker_id"].partition(":")
    backup_type, _, backup_id = group.partition("/")
    per_namespace = [
        grouped(rows)[backup_type, backup_id]
        for rows in listings.get(store, {}).values()
        if (backup_type, backup_id) in grouped(rows)
    ]
    if len(per_namespace) != 1:
        return ""
    with_note = [row for row in per_namespace[0] if comment_label(row.get("comment"))]
    return comment_label(max(with_note, key=lambda row: row["backup-time"])["comment"]) if with_note else ""


def _tasks(recording: Recording, listings: dict[str, Json]) -> Iterator[Row]:
    path = "/nodes/localhost/tasks"
    tasks = {task["upid"]: task for task in recording.data(path, "limit=0")}
    for task in recording.data(path, "running=1"):
        # A task that ended between the two requests is there with its end.
        tasks.setdefault(task["upid"], task)
    running = [task for task in tasks.values() if "endtime" not in task]
    begin = recording.time - WINDOW_SECONDS
    ended = [task for task in tasks.values() if task.get("endtime", 0) >= begin]

    totals: dict[tuple[str, str, str], int] = defaultdict(int)
    for task in running + ended:
        totals[task["worker_type"], state(task), note(task, listings)] += 1
    for (worker_type, status, comment), number in totals.items():
        yield "pbs_task_total", {"worker_type": worker_type, "status": status, "comment": comment}, number
    active: dict[tuple[str, str], int] = defaultdict(int)
    for task in running:
        active[task["worker_type"], note(task, listings)] += 1
    for (worker_type, comment), number in active.items():
        yield "pbs_task_running", {"worker_type": worker_type, "comment": comment}, number

    # A stable sort keeps PBS's order among equals.
    newest_first = sorted(ended, key=lambda task: (-task["endtime"], -task["starttime"]))
    seen: set[tuple[str, str]] = set()
    for task in newest_first:
        key = (task["worker_type"], worker_id(task))
        if key not in seen:
            seen.add(key)
            labels = {"worker_type": key[0], "status": state(task), "worker_id": key[1]}
            labels["comment"] = note(task, listings)
            yield "pbs_task_duration_seconds", labels, task["endtime"] - task["starttime"]
    for worker_type in {task["worker_type"] for task in ended}:
        ends = [task["endtime"] for task in ended if task["worker_type"] == worker_type]
        yield "pbs_task_last_run_timestamp_seconds", {"worker_type": worker_type}, max(ends)
    for worker_type in {task["worker_type"] for task in running}:
        starts = [task["starttime"] for task in running if task["worker_type"] == worker_type]
        yield "pbs_task_running_start_timestamp_seconds", {"worker_type": worker_type}, min(starts)


def _gc(recording: Recording) -> Iterator[Row]:
    for row in recording.data("/admin/gc"):
        labels = {"datastore": row["store"]}
        yield "pbs_gc_next_run_timestamp_seconds", labels, row.get("next-run")
        if row["upid"] is None:
            continue
        yield "pbs_gc_last_run_timestamp", labels, row.get("last-run-endtime")
        ended = state({"status": row.get("last-run-state")})
        if ended in ("ok", "warning"):
            yield "pbs_gc_status", labels, 1
            yield "pbs_gc_duration_seconds", labels, row["duration"]
        if ended == "error":
            yield "pbs_gc_status", labels, 0
        for name in ("removed", "pending"):
            yield f"pbs_gc_{name}_bytes", labels, row[f"{name}-bytes"]
            yield f"pbs_gc_{name}_chunks", labels, row[f"{name}-chunks"]
        yield "pbs_gc_disk_bytes", labels, row["disk-bytes"]
        yield "pbs_gc_disk_chunks", labels, row["disk-chunks"]
        yield "pbs_gc_index_data_bytes", labels, row["index-data-bytes"]
        yield "pbs_gc_bad_chunks", labels, row["still-bad"]


def _tape(recording: Recording) -> Iterator[Row]:
    free = 0
    for drive in recording.data("/tape/drive", "query-activity=0"):
        device = {key: drive.get(key) or "" for key in ("vendor", "model", "serial")}
        yield "pbs_tape_drive_info", {"name": drive["name"]} | device, 1
        busy = bool(drive.get("state"))
        yield "pbs_tape_drive_busy", {"name": drive["name"]}, int(busy)
        free += any(device.values()) and not busy
    yield "pbs_tape_drive_available", {}, free
