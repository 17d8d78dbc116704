"""Answers to the exercises of "Bytes on disk, and what a slice costs"."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from enormous.teach.check import exercise


@exercise(
    "bytes-on-disk-1",
    hint="Whole slices before it, whole rows before it, voxels before it; then bytes.",
)
def where_is_the_voxel() -> int:
    return ((3 * 1000 + 2) * 4000 + 1) * 2


@exercise(
    "bytes-on-disk-2",
    hint="Is a row longer or shorter than a page? Then how many pages does a row's voxel cost?",
)
def pages_of_an_x_slice() -> float:
    row = 4000 * 2
    assert row > 4096  # each row's voxel lies in a page that no other row's voxel shares
    return 4096 / 2


@exercise("bytes-on-disk-3", many=True)
def made_for_x_slices(answer: Any) -> str:
    try:
        order = [operator.index(axis) for axis in answer]
    except (TypeError, ValueError):
        return "Answer with three whole numbers: the old axes, in their new order."
    if sorted(order) != [0, 1, 2]:
        return "Each of the axes 0, 1 and 2 must come once."
    if order[0] != 2:
        slow = {0: "z", 1: "y"}[order[0]]
        return f"The slowest axis is {slow} now, so a {slow} slice is one stretch; make it x."
    return ""


@exercise(
    "bytes-on-disk-4",
    hint="Axes at the end that are taken whole join up. Which axis ends a stretch?",
    cases=[
        ((200, 156, 156), (1, 156, 156)),
        ((200, 156, 156), (200, 1, 156)),
        ((200, 156, 156), (200, 156, 1)),
        ((200, 156, 156), (32, 32, 32)),
        ((200, 156, 156), (200, 10, 156)),
        ((200, 156, 156), (200, 156, 156)),
        ((200, 156, 156), (1, 1, 1)),
        ((7,), (3,)),
        ((3, 4, 5, 6), (2, 3, 5, 6)),
    ],
)
def count_the_stretches(shape: Sequence[int], box: Sequence[int]) -> int:
    axis = len(shape) - 1
    while axis > 0 and box[axis] == shape[axis]:
        axis -= 1
    return math.prod(box[:axis])
