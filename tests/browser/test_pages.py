"""No page of the book breaks: light, dark and on a phone, cut off from the network.

All pages are opened once (the fixture `visits`); a test asserts one kind of
problem and lists every page that has it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .chromium import MODES, context, settle, watch
from .visits import Visit, book_pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "console": "an error on the console",
    "failed": "a request that failed",
    "foreign": "another host is needed",
    "images": "a picture that is not there",
    "alt": "a picture that says nothing to who cannot see it",
    "contrast": "text too faint to read (below 4.5:1, large text 3:1)",
    "overflow": "wider than the window",
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_has(kind: str, visits: list[Visit]) -> None:
    found = [
        f"{visit.page} [{visit.mode.name}] {line}"
        for visit in visits
        for line in visit.problems[kind]
    ]
    assert not found, f"{KINDS[kind]}:\n" + "\n".join(found)


def test_every_page_was_seen_in_the_theme_asked_for(visits: list[Visit], html: Path) -> None:
    assert len(visits) == len(MODES) * len(book_pages(html))
    wrong = [(v.page, v.mode.name, v.theme) for v in visits if v.theme != v.mode.theme]
    assert wrong == []


def test_every_chapter_of_the_contents_is_among_the_pages_seen(visits: list[Visit]) -> None:
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    chapters = re.findall(r"^\W*(?:file|root):\s*(\S+)", contents, flags=re.MULTILINE)
    assert len(chapters) > 1
    assert {f"{c.removesuffix('.md')}.html" for c in chapters} <= {v.page for v in visits}


def test_root_leads_to_the_first_page(browser: Browser, site: str) -> None:
    with context(browser, MODES[0]) as window:
        tab = window.new_page()
        record = watch(tab)
        tab.goto(f"{site}/")
        tab.wait_for_selector("article h1")
        settle(tab, record)
        assert record.failed + record.console + record.foreign == []


def test_unknown_address_shows_the_404_page_whole(browser: Browser, site: str) -> None:
    with context(browser, MODES[0]) as window:
        tab = window.new_page()
        record = watch(tab)
        address = f"{site}/no/such/page.html"
        answer = tab.goto(address)
        settle(tab, record)
        assert answer is not None
        assert answer.status == 404
        # its scripts, styles and pictures must be found from any depth
        assert [line for line in record.failed if not line.startswith(address)] == []
        assert [line for line in record.console if address not in line] == []
        assert tab.locator("article a, .bd-sidebar a").count() > 0
