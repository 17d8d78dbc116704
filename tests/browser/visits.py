"""Open every page of the built book in every mode and collect what is wrong with it.

Called once a session by `conftest.py`; each test then asserts one kind of problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .chromium import MODES, Mode, context, settle, watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

INSPECT = Path(__file__).with_name("inspect_page.js").read_text(encoding="utf-8")


@dataclass
class Visit:
    """One page in one mode: for each kind of problem, a list of lines."""

    page: str
    mode: Mode
    problems: dict[str, list[str]] = field(default_factory=dict)
    theme: str = ""


def book_pages(html: Path) -> list[str]:
    """Pages of the site relative to its root, Sphinx's own (search, index, 404) included.

    Sphinx marks its pages; what is copied in whole (a viewer) and the redirect at
    the root are none.
    """
    return sorted(
        path.relative_to(html).as_posix()
        for path in html.rglob("*.html")
        if "data-content_root=" in path.read_text("utf-8", errors="replace")[:2000]
    )


def visit_all(browser: Browser, base: str, pages: list[str]) -> list[Visit]:
    """Open each of `pages` below the address `base` in light, in dark and on a phone."""
    visits = []
    for mode in MODES:
        with context(browser, mode) as window:
            tab = window.new_page()
            record = watch(tab)
            for page in pages:
                record.clear()
                tab.goto(f"{base}/{page}", wait_until="load")
                settle(tab, record)
                found = tab.evaluate(INSPECT)
                settle(tab, record)  # the inspection makes lazy pictures load
                visit = Visit(page, mode, theme=found.pop("theme"))
                found["foreign"] = [*record.foreign, *found["foreign"]]
                found |= {"console": list(record.console), "failed": list(record.failed)}
                visit.problems = found
                visits.append(visit)
    return visits
