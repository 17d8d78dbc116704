"""Fixtures of the browser tests: the built book, its server, one browser, all visits.

$BOOK_HTML names a site built elsewhere; without it `.ci/build-book` builds one
where it is missing or older than its sources. $CHROMIUM names the browser.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enormous.view.server import serve

from . import chromium
from .built import is_current
from .visits import Visit, book_pages, visit_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: the hook is given the tests of all folders."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the session."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    if chromium.find_chromium() is None:
        pytest.skip(
            "no Chromium found: install chromium, or set CHROMIUM to the path of the browser"
        )
    with chromium.launch() as running:
        yield running


@pytest.fixture(scope="session")
def html(browser: Browser) -> Path:
    """Folder of the built book (built only where there is a browser to open it)."""
    if given := os.environ.get("BOOK_HTML"):
        return Path(given)
    out = ROOT / "_build"
    if not is_current(ROOT, out):
        built = subprocess.run(
            [str(ROOT / ".ci" / "build-book")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, f"the book does not build:\n{built.stdout}{built.stderr}"
    return out / "html"


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """Address of the served book, without a slash at its end."""
    with serve(html) as base:
        yield base


@pytest.fixture(scope="session")
def visits(browser: Browser, html: Path, site: str) -> list[Visit]:
    """Every page opened in every mode."""
    return visit_all(browser, site, book_pages(html))
