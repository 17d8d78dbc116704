"""The drawing of a folder tree: every file once, below its folder, the marked ones dark."""

from __future__ import annotations

import pytest

from enormous.teach.figures import ASKED, FETCHED
from enormous.teach.zarr_by_hand import draw_tree, tree

plt = pytest.importorskip("matplotlib.pyplot")

KEYS = ["zarr.json", "c/1/0", "c/0/1", "c/0/0"]


def test_a_tree_has_each_folder_once_and_each_file_below_its_own() -> None:
    assert ["".join(row[:2]) for row in tree(KEYS)] == [
        "├─ c/",
        "│  ├─ 0/",
        "│  │  ├─ 0",
        "│  │  └─ 1",
        "│  └─ 1/",
        "│     └─ 0",
        "└─ zarr.json",
    ]
    assert [row.key for row in tree(KEYS) if row.key] == sorted(KEYS)
    assert tree([]) == []


def test_the_drawing_marks_what_it_is_told_and_the_metadata() -> None:
    from matplotlib.colors import to_rgba

    plt.switch_backend("agg")
    _, ax = plt.subplots()
    draw_tree(ax, "heart.zarr", KEYS, marked=["c/0/1"])
    grounds = {
        text.get_text(): text.get_bbox_patch().get_facecolor()
        for text in ax.texts
        if text.get_bbox_patch() is not None
    }
    assert grounds == {"1": to_rgba(ASKED), "zarr.json": to_rgba(FETCHED)}
    plt.close("all")
