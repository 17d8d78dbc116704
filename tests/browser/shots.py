"""Save full-page pictures of the built book, for people to look at.

    python -m tests.browser.shots OUTDIR [PAGE ...]

PAGE is a path in the site, or a part of one (`how-big`); without any, all pages.
One PNG for each page and mode: light, dark, phone. Reads $BOOK_HTML, else the
book as it is in _build/html; it builds nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from enormous.view.server import serve

from . import chromium
from .visits import book_pages

ROOT = Path(__file__).resolve().parents[2]
TALLEST = 12000  # pixels; Chromium's own limit for one picture is 16384


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
                    height = tab.evaluate("document.documentElement.scrollHeight")
                    name = page.removesuffix(".html").replace("/", "--")
                    tab.screenshot(
                        path=folder / f"{name}.{mode.name}.png",
                        full_page=True,
                        clip={
                            "x": 0,
                            "y": 0,
                            "width": mode.width,
                            "height": min(height, TALLEST),
                        },
                    )
                    count += 1
    return count


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
