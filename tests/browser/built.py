"""Tell whether a built book is up to date; called by `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SOURCES = (
    ".ci/build-book",
    "_config.yml",
    "_toc.yml",
    "book",
    "notebooks",
    "requirements.lock",
    "src",
)


def source_files(root: Path) -> Iterator[Path]:
    """Files that the book is made from; compiled Python does not count."""
    for name in SOURCES:
        place = root / name
        files = [place] if place.is_file() else place.rglob("*")
        yield from (f for f in files if f.is_file() and f.suffix != ".pyc")


def is_current(root: Path, out: Path) -> bool:
    """Whether the book in `out` was built to its end after the last change of a source.

    Parameters
    ----------
    root : Path
        The checkout.
    out : Path
        Where `.ci/build-book` builds: it holds ``html/`` and ``.doctrees/``.
    """
    doctrees = out / ".doctrees"
    if not (out / "html" / "index.html").exists() or (doctrees / "unfinished").exists():
        return False
    # The build removes its mark "unfinished" from this folder last, which dates it.
    built = doctrees.stat().st_mtime
    return all(file.stat().st_mtime <= built for file in source_files(root))
