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
# templates of the theme, and foreign tools copied in whole: no pages of the book
NOT_PAGES = ("_static/", "_sources/")


@dataclass
class Visit:
    """One page in one mode: for each kind of problem, a list of lines."""

    page: str
    mode: Mode
    problems: dict[str, list[str]] = field(default_factory=dict)
    theme: str = ""


def book_pages(html: Path) -> list[str]:
    """Pages of the site, relative to its root, those made by Sphinx included."""
    pages = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    return [
        page
        for page in pages
        if (not page.startswith(NOT_PAGES) and "data-theme" in (html / page).read_text("utf-8"))
        or page == "index.html"
    ]


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
