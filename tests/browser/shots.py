"""Save full-page pictures of the built book, for people to look at.

    python -m tests.browser.shots OUTDIR [PAGE ...]

PAGE is a path in the site, or a part of one (`how-big`); without any, all pages.
PNGs for each page and mode (light, dark, phone), a long page in parts from the top.
Reads $BOOK_HTML, else the
book as it is in _build/html; it builds nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from enormous.view.server import serve

from . import chromium
from .visits import book_pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
PART = 4000  # pixels; above 8192 Chromium's software renderer repeats the top of the page


def shoot(html: Path, folder: Path, pages: list[str]) -> int:
    """Save the pictures of `pages` below `folder`; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with serve(html) as base, chromium.launch() as browser:
        for mode in chromium.MODES:
            with chromium.context(browser, mode) as window:
                tab = window.new_page()
                record = chromium.watch(tab)
                for page in pages:
                    tab.goto(f"{base}/{page}")
                    chromium.settle(tab, record)
                    count += shoot_page(tab, folder / page.replace("/", "--"), mode)
    return count


def shoot_page(tab: Page, path: Path, mode: chromium.Mode) -> int:
    """Save the page that is open as `path` with mode and part in its name; return how many."""
    height = tab.evaluate("document.documentElement.scrollHeight")
    tops = range(0, height, PART)
    for part, top in enumerate(tops, start=1):
        number = f".{part}" if len(tops) > 1 else ""
        tab.screenshot(
            path=path.with_suffix(f".{mode.name}{number}.png"),
            full_page=True,
            clip={"x": 0, "y": top, "width": mode.width, "height": min(PART, height - top)},
        )
    return len(tops)


def main() -> int:
    """Run the command line; 2 where the book is not built or no page matches."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shots", description=__doc__)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("page", nargs="*")
    call = parser.parse_args()
    html = Path(os.environ.get("BOOK_HTML") or ROOT / "_build" / "html")
    pages = book_pages(html)
    if call.page:
        pages = [page for page in pages if any(part in page for part in call.page)]
    if not pages or chromium.find_chromium() is None:
        print(
            f"error: nothing to photograph in {html}; build the book (make book), "
            "name an existing page, and have Chromium on the PATH or in $CHROMIUM",
            file=sys.stderr,
        )
        return 2
    print(f"saved {shoot(html, call.outdir, pages)} pictures in {call.outdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
