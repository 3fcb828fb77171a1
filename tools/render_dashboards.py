"""Write the dashboards: `python -m tools.render_dashboards [FOLDER]`. FOLDER is monitoring/dashboards by default."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards.source import backups, datastore, growth, guests, host_exporter, jobs_tasks, overview

FOLDER = Path(__file__).parents[1] / "monitoring" / "dashboards"
DASHBOARDS = {
    "pbs-overview": overview.build,
    "pbs-datastore": datastore.build,
    "pbs-backups": backups.build,
    "pbs-jobs-tasks": jobs_tasks.build,
    "pbs-host-exporter": host_exporter.build,
    "pbs-fleet-growth": growth.build,
    "optional/pbs-guests": guests.build,
}
"""The source of each file."""


_OLD = ("auto", "auto_count", "auto_min", "id", "style")
"""Keys of dashboards and variables in the SDK's schema (Grafana 10.1) that newer schemas don't have."""


def main(arguments: list[str]) -> int:
    """Write each dashboard's file."""
    folder = Path(arguments[0]) if arguments else FOLDER
    for name, build in DASHBOARDS.items():
        board = json.loads(json.dumps(build(), cls=JSONEncoder))
        for part in (board, *board["templating"]["list"]):
            for key in _OLD:
                part.pop(key, None)
        text = json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False)
        file = folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
