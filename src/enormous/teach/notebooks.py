"""Make the notebooks from the chapters: ``python -m enormous.teach.notebooks [--check]``.

Called by ``make notebooks``. Every page with code cells becomes three
notebooks: ``notebooks/chapters`` (solutions folded), and under
``notebooks/course`` the ``instructor``'s (solutions and teacher's notes open)
and the ``student``'s (without either). They are committed, so that Binder and
Colab can open them; ``--check``, and a test, fail when they are not what the
chapters make. Same chapters, same bytes: ids are hashes, outputs are dropped.

A comment that begins ``% teacher:`` is a note for teachers: the page and the
student never see it.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from enormous.errors import EnormousError
from enormous.teach.flatten import Flattener
from enormous.teach.source import Block, Book, Chapter, Region

Audience = Literal["chapters", "instructor", "student"]

FOLDERS: dict[Audience, str] = {
    "chapters": "notebooks/chapters",
    "instructor": "notebooks/course/instructor",
    "student": "notebooks/course/student",
}
#: Cell tags that mean something to nbval or nbclient; all others are the page's.
KEPT_TAGS = ("raises-exception", "skip-execution", "nbval-")
HIDDEN_SOURCE = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
HIDDEN_OUTPUT = {"hide-output", "hide-cell", "remove-output", "remove-cell"}

INSTALL = """\
# On Colab or Binder: install the toolkit. Where it is installed, this does nothing.
try:
    import enormous
except ImportError:
    %pip install --quiet "enormous[export,parallel] @ git+{repository}@{branch}" {extras}"""
#: What chapters import beyond the toolkit with those extras and Python's own library.
EXTRAS = "matplotlib ngff-zarr ome-zarr pillow psutil"


@dataclass(frozen=True)
class Cell:
    """A cell to be: what it says and for whom.

    Attributes
    ----------
    kind : {"markdown", "code"}
    source : str
    region : Region or None
        The exercise or solution that it belongs to.
    teacher : bool
        Whether it is a note for teachers.
    metadata : dict
        Jupyter's own metadata (``tags``, ``jupyter``).
    """

    kind: Literal["markdown", "code"]
    source: str
    region: Region | None = None
    teacher: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def solves(self) -> bool:
        """Whether the cell belongs to a solution."""
        return self.region is not None and self.region.kind == "solution"


def generate(book: Book) -> dict[str, str]:
    """Make all notebooks of a book.

    Returns
    -------
    dict
        Text of each notebook by its path below the repository's root.

    Raises
    ------
    DataError
        If a chapter holds what cannot be flattened, or glues what no run has
        recorded.
    """
    made = {}
    for chapter in book.with_code:
        for audience, folder in FOLDERS.items():
            made[f"{folder}/{chapter.stem}.ipynb"] = notebook(book, chapter, audience)
    return made


def notebook(book: Book, chapter: Chapter, audience: Audience) -> str:
    """Make one notebook; returns its JSON text."""
    import nbformat

    cells = list(_cells(book, chapter, FOLDERS[audience]))
    ids = _ids(chapter.stem, cells)  # before any is left out: shared cells keep their ids
    chosen = [
        (_fold_solution(cell) if audience == "chapters" else cell, name)
        for cell, name in zip(cells, ids, strict=True)
        if not (cell.teacher and audience != "instructor")
        and not (cell.solves and audience == "student")
    ]
    content = nbformat.from_dict(  # type: ignore[no-untyped-call]
        {
            "cells": [_node(cell, name) for cell, name in chosen],
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
    nbformat.validate(content)
    return _text(content)


def without_answers(text: str) -> str:
    """Drop solutions and teacher's notes from an instructor's notebook.

    What is left must be the student's notebook, byte for byte; a test says so.
    """
    import nbformat

    content = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    content.cells = [
        cell
        for cell in content.cells
        if cell.metadata.get("enormous", {}).get("part") not in ("solution", "teacher")
    ]
    return _text(content)


def _text(content: Any) -> str:
    """Serialise a notebook: sorted keys, fixed indent, one newline at the end."""
    import nbformat

    text: str = nbformat.writes(content)  # type: ignore[no-untyped-call]
    return text.rstrip("\n") + "\n"


def drift(book: Book) -> list[str]:
    """Compare the committed notebooks with what the chapters make.

    Returns
    -------
    list of str
        One line for each notebook that is missing, differs or is left over.
    """
    made = generate(book)
    lines = []
    for name, text in made.items():
        path = book.root / name
        if not path.is_file():
            lines.append(f"{name}: is missing: run make notebooks")
        elif path.read_bytes() != text.encode():
            lines.append(f"{name}: is not what the chapter makes: run make notebooks")
    return lines + [f"{name}: no chapter makes it: delete it" for name in _left_over(book, made)]


def write(book: Book) -> list[str]:
    """Write the notebooks that changed and delete those left over; returns their names."""
    made = generate(book)
    changed = []
    for name, text in made.items():
        path = book.root / name
        if not path.is_file() or path.read_bytes() != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            changed.append(name)
    for name in _left_over(book, made):
        (book.root / name).unlink()
        changed.append(name)
    return changed


def _left_over(book: Book, made: dict[str, str]) -> list[str]:
    found = [path for folder in FOLDERS.values() for path in (book.root / folder).glob("*.ipynb")]
    return sorted({path.relative_to(book.root).as_posix() for path in found} - made.keys())


def _cells(book: Book, chapter: Chapter, folder: str) -> Iterator[Cell]:
    """Yield the cells of the fullest notebook, the instructor's.

    Consecutive prose is one cell; a heading of the first two levels, a gate
    of an exercise or solution, and a code cell end it.
    """
    flatten = Flattener(book, chapter, folder)
    install = INSTALL.format(repository=book.repository, branch=book.branch, extras=EXTRAS)
    pending: list[str] = []
    region: Region | None = None
    introduced = False
    for block in chapter.blocks:
        note = block.kind == "comment" and block.text.startswith("teacher:")
        titled = block.kind == "heading" and block.level <= 2
        if block.kind == "code" or note or titled or block.region != region:
            yield from _prose_cell(pending, region)
            pending, region = [], block.region
        if introduced is False and (block.kind == "code" or (titled and block.level == 2)):
            yield Cell("code", install)
            introduced = True
        if block.kind == "code":
            yield Cell("code", block.text, block.region, metadata=_code_metadata(block))
            caption = block.options.get("mystnb", {}).get("figure", {}).get("caption")
            pending += [flatten.inline(str(caption).strip())] if caption else []
        elif note:
            text = flatten.inline(block.text.removeprefix("teacher:").strip())
            quoted = f"**For teachers.** {text}".replace("\n", "\n> ")
            yield Cell("markdown", f"> {quoted}", block.region, teacher=True)
        elif text := flatten.block(block):
            pending.append(text)
            if block.kind == "heading" and block.level == 1:
                pending.append(_links(book, chapter, flatten))
    yield from _prose_cell(pending, region)


def _prose_cell(pending: list[str], region: Region | None) -> Iterator[Cell]:
    if pending:
        yield Cell("markdown", "\n\n".join(pending), region)


def _links(book: Book, chapter: Chapter, flatten: Flattener) -> str:
    title = book.config.get("title", "the book")
    source = f"{book.repository}/blob/{book.branch}/{chapter.path.relative_to(book.root)}"
    page = flatten.page_address()
    read_it = f"[read it as a page]({page}), " if page != source else ""
    return f"*From {title}: {read_it}[see its source]({source}).*"


def _code_metadata(block: Block) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    hidden = {}
    if HIDDEN_SOURCE & set(block.tags):
        hidden["source_hidden"] = True
    if HIDDEN_OUTPUT & set(block.tags):
        hidden["outputs_hidden"] = True
    kept = [tag for tag in block.tags if tag.startswith(KEPT_TAGS)]
    if hidden:
        metadata["jupyter"] = hidden
    if kept:
        metadata["tags"] = kept
    return metadata


def _fold_solution(cell: Cell) -> Cell:
    """Fold a cell of a solution, so that it is not read by accident."""
    if not cell.solves or cell.region is None:
        return cell
    if cell.kind == "code":
        hidden = {"source_hidden": True, "outputs_hidden": True}
        return replace(cell, metadata=cell.metadata | {"jupyter": hidden})
    heading = f"#### Solution to exercise {cell.region.number}"
    first = cell.source.startswith(heading)
    body = cell.source.removeprefix(heading).strip()
    summary = f"Solution to exercise {cell.region.number}{'' if first else ', continued'}"
    if not body:
        return replace(cell, source=f"**{summary}** is the folded cell below.")
    folded = f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
    return replace(cell, source=folded)


def _ids(stem: str, cells: list[Cell]) -> list[str]:
    """Name each cell by what it says: ids that stay when other cells change."""
    seen: Counter[str] = Counter()
    ids = []
    for cell in cells:
        seen[cell.source] += 1
        text = f"{stem}\0{seen[cell.source]}\0{cell.source}"
        ids.append(hashlib.sha256(text.encode()).hexdigest()[:12])
    return ids


def _node(cell: Cell, name: str) -> dict[str, Any]:
    metadata = dict(cell.metadata)
    if cell.teacher:
        metadata["enormous"] = {"part": "teacher"}
    elif cell.region is not None:
        metadata["enormous"] = {"part": cell.region.kind, "exercise": cell.region.exercise}
    node: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": name,
        "metadata": metadata,
        "source": cell.source,
    }
    if cell.kind == "code":
        node |= {"execution_count": None, "outputs": []}
    return node


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m enormous.teach.notebooks")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on drift")
    parser.add_argument("--root", type=Path, help="the repository (default: found from here)")
    given = parser.parse_args(arguments)
    try:
        book = Book(given.root)
        lines = drift(book) if given.check else write(book)
    except EnormousError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for line in lines:
        print(line)
    if not lines:
        print("All notebooks are what the chapters make.")
    return 1 if given.check and lines else 0


if __name__ == "__main__":
    sys.exit(main())
