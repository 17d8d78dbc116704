"""A stale book is never tested in place of the present one (no browser needed)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .built import SOURCES, is_current


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Sources from second 1000, a book built at second 2000."""
    files = [".ci/build-book", "_config.yml", "_toc.yml", "requirements.lock"]
    files += ["book/1/a.md", "src/enormous/grid.py", "notebooks/chapters/a.ipynb"]
    for name in [*files, "_build/html/index.html", "_build/.doctrees/environment.pickle"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, (1000, 1000))
    os.utime(tmp_path / "_build" / ".doctrees", (2000, 2000))
    return tmp_path


def test_book_built_after_its_sources_is_current(checkout: Path) -> None:
    assert is_current(checkout, checkout / "_build")
    compiled = checkout / "src" / "enormous" / "grid.cpython-311.pyc"
    compiled.write_text("x")  # now, long after the build
    assert is_current(checkout, checkout / "_build")


@pytest.mark.parametrize("source", SOURCES)
def test_any_changed_source_makes_it_stale(checkout: Path, source: str) -> None:
    place = checkout / source
    file = place if place.is_file() else next(p for p in place.rglob("*") if p.is_file())
    os.utime(file, (3000, 3000))
    assert not is_current(checkout, checkout / "_build")


def test_missing_or_unfinished_book_is_not_current(checkout: Path) -> None:
    mark = checkout / "_build" / ".doctrees" / "unfinished"
    mark.touch()
    os.utime(mark.parent, (2000, 2000))
    assert not is_current(checkout, checkout / "_build")
    mark.unlink()
    os.utime(mark.parent, (2000, 2000))
    assert is_current(checkout, checkout / "_build")
    (checkout / "_build" / "html" / "index.html").unlink()
    assert not is_current(checkout, checkout / "_build")
