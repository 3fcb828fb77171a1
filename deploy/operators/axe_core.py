"""axe-core, which finds what keeps people out of a page."""

import shutil
from pathlib import Path
from typing import Any

from machine import cached, run
from playwright.sync_api import Page

_SOURCE = Path(__file__).with_name("axe")


def violations(page: Page) -> list[str]:
    """Give what axe-core finds wrong with a page: the rule, and the elements that break it."""
    return _found(page, "violations")


def undecided(page: Page) -> list[str]:
    """Give what axe-core couldn't decide."""
    return _found(page, "incomplete")


def passed(page: Page) -> set[str]:
    """Give the rules that had something to look at, and found nothing."""
    return {found.partition(":")[0] for found in _found(page, "passes")}


def _found(page: Page, kind: str) -> list[str]:
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate((_installed() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    rules: list[dict[str, Any]] = page.evaluate("async kind => (await axe.run(document))[kind]", kind)
    return [f"{rule['id']}: {', '.join(str(node['target'][0]) for node in rule['nodes'])}" for rule in rules]


def _installed() -> Path:
    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    return cached("axe", ((_SOURCE / "package-lock.json").read_text(encoding="utf-8"),), install)
