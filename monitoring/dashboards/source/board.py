"""The frame of a dashboard: title, links to the other dashboards, and the place of each panel."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, GridPos

TAGS = ["proxmox", "pbs", "backup"]
TITLES = {
    "pbs-overview": "PBS / Overview",
    "pbs-datastore": "PBS / Datastore",
    "pbs-backups": "PBS / Backups",
    "pbs-jobs-tasks": "PBS / Jobs and tasks",
    "pbs-host-exporter": "PBS / Host and exporter",
    "pbs-fleet-growth": "PBS / Fleet growth",
}
"""All dashboards by UID, which is also the file's name, with their titles."""
OPTIONAL_TITLES = {"pbs-guests": "PBS / Guests of Proxmox VE"}
"""Those that need another exporter. The others don't link to them."""

_COLUMNS = 24


class Board:
    """A dashboard that is filled line by line, from the left."""

    def __init__(
        self, uid: str, description: str, variables: Sequence[object], *, since: str = "now-24h", refresh: str = "1m"
    ) -> None:
        self.uid = uid
        self._made = Dashboard((TITLES | OPTIONAL_TITLES)[uid]).uid(uid).description(description).tags(TAGS).editable()
        self._made.time(since, "now").refresh(refresh).timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
        for variable in variables:
            self._made.with_variable(variable)
        for other, title in TITLES.items():
            if other != uid:
                link = DashboardLink(title).type(DashboardLinkType.LINK).url(f"/d/{other}").icon("dashboard")
                self._made.link(link.include_vars(include_vars=True).keep_time(keep_time=True))
        self._id = 0
        self._y = 0

    def row(self, title: str) -> None:
        """Begin a section with a heading."""
        self._made.with_row(Row(title).id(self._next()).grid_pos(GridPos(h=1, w=_COLUMNS, x=0, y=self._y)))
        self._y += 1

    def line(self, height: int, *panels: tuple[int, object]) -> None:
        """Add panels beside each other, each with its width in columns (of 24)."""
        x = 0
        for width, panel in panels:
            panel.id(self._next()).grid_pos(GridPos(h=height, w=width, x=x, y=self._y))  # type: ignore[attr-defined]
            self._made.with_panel(panel)
            x += width
        self._y += height

    def build(self) -> object:
        """Return the dashboard for the SDK's encoder."""
        return self._made.build()

    def _next(self) -> int:
        self._id += 1
        return self._id
