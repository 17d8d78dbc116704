"""The drawing of a folder tree for the chapter "Zarr by hand".

Called by that chapter's plotting cells alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from enormous.ledger import is_metadata
from enormous.teach.figures import ASKED, FETCHED, LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Row(NamedTuple):
    """One line of a tree: the branches before the name, the name, and the key of a file."""

    branches: str
    name: str
    key: str | None


def tree(keys: Iterable[str]) -> list[Row]:
    """Return the lines of a folder tree, folders and files in order of their names.

    Parameters
    ----------
    keys : iterable of str
        Paths of files below the folder, with ``/`` between the names.

    Returns
    -------
    list of Row
        A folder's name ends in ``/`` and it has no key; a file's key is its path.
    """
    nested: dict[str, Any] = {}  # a folder is a dictionary, a file None
    for key in sorted(keys):
        *folders, name = key.split("/")
        at = nested
        for folder in folders:
            at = at.setdefault(folder, {})
        at[name] = None
    return list(_rows(nested, "", ""))


def _rows(nested: dict[str, Any], before: str, path: str) -> Iterable[Row]:
    for number, (name, inside) in enumerate(nested.items(), start=1):
        last = number == len(nested)
        branches = before + ("└─ " if last else "├─ ")
        if inside is None:
            yield Row(branches, name, path + name)
        else:
            yield Row(branches, f"{name}/", None)
            yield from _rows(inside, before + ("   " if last else "│  "), f"{path}{name}/")


def draw_tree(
    ax: Axes, title: str, keys: Iterable[str], marked: Collection[str] = (), rows: int = 0
) -> None:
    """Write a folder tree on ``ax``: metadata on a light ground, marked files on a dark one.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    title : str
        The folder's own name, written above.
    keys : iterable of str
        Paths of files below the folder.
    marked : collection of str
        Those of them to draw dark.
    rows : int
        Height in lines, so that trees side by side have lines of one height.
    """
    lines = tree(keys)
    options: dict[str, Any] = {"family": "monospace", "fontsize": 9.5, "va": "center"}
    ax.set(xlim=(0, 30), ylim=(max(rows, len(lines)) + 0.5, -0.8))
    ax.axis("off")
    ax.text(0, -0.1, title, weight="bold", **options)
    for number, row in enumerate(lines, start=1):
        line = ax.annotate(row.branches, (0, number), color=LINE, **options)
        dark, light = row.key in marked, row.key is not None and is_metadata(row.key)
        ground = {"facecolor": ASKED if dark else FETCHED, "edgecolor": "none", "pad": 1.5}
        ax.annotate(
            row.name,
            (1, 0.5),
            xycoords=line,
            color="white" if dark else "black",
            bbox=ground if dark or light else None,
            **options,
        )
