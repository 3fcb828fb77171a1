"""The status page: the state of PBS, collectors and datastores at a glance."""

from pbs_exporter.web.status.fact_reader import read_facts
from pbs_exporter.web.status.overview import read_overview, render_overview
from pbs_exporter.web.status.page import render_page
from pbs_exporter.web.status.style import POLICY

__all__ = ["POLICY", "read_facts", "read_overview", "render_overview", "render_page"]
