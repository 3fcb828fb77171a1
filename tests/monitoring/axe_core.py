"""axe-core, which checks the accessibility of a page."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page

from tests.support.cache import cached
from tests.support.commands import run

_SOURCE = Path(__file__).with_name("axe")


class Findings(msgspec.Struct, frozen=True):
    """The result of axe-core: broken rules and undecided ones, each with its elements.

    `passed` are the rules that applied to at least one element, and found nothing.
    """

    violations: list[str]
    undecided: list[str]
    passed: set[str]

    @property
    def broken(self) -> set[str]:
        """The broken rules."""
        return {found.partition(":")[0] for found in self.violations}


def examine(page: Page) -> Findings:
    """Examine a page with all rules of axe-core that are on by default."""
    page.evaluate((_installed() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, list[dict[str, Any]]] = page.evaluate("axe.run(document)")
    assert found["passes"], "it has looked at nothing"
    return Findings(
        violations=[_line(rule) for rule in found["violations"]],
        undecided=[_line(rule) for rule in found["incomplete"]],
        passed={rule["id"] for rule in found["passes"]},
    )


def _line(rule: dict[str, Any]) -> str:
    return f"{rule['id']}: {', '.join(str(node['target'][0]) for node in rule['nodes'])}"


def _installed() -> Path:
    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    return cached("axe", ((_SOURCE / "package-lock.json").read_text(encoding="utf-8"),), install)
