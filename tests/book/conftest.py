"""The built book, for the tests that read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from building import ROOT, build
from pages import Page, read_pages


@pytest.fixture(scope="session")
def html() -> Path:
    """Folder of the built book; built if it is not up to date, which costs seconds otherwise."""
    done = build(ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def pages(html: Path) -> dict[str, Page]:
    """All pages, parsed, by their path below the book's folder."""
    return read_pages(html)
