"""Answers to the exercises of "Chunks and read amplification"."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from enormous import samples
from enormous.errors import UsageError
from enormous.grid import Grid
from enormous.teach.check import exercise


@exercise(
    "read-amplification-1",
    hint="Which voxel is the last one of each slice, and which chunks do first and last lie in?",
)
def count_the_chunks() -> int:
    grid = Grid((128, 128, 128), (32, 32, 32), 2)
    return grid.need((slice(10, 74), slice(0, 64), slice(30, 40))).chunks


@exercise(
    "read-amplification-2", hint="(b + c - 1) / b along one axis; there are three.", rtol=0.01
)
def cubes_for_training() -> float:
    return ((96 + 128 - 1) / 96) ** 3


@exercise("read-amplification-3", many=True)
def a_shape_of_your_own(answer: Any) -> str:
    shape = samples.shape_of("heart", "full")
    try:
        grid = Grid(shape, tuple(operator.index(n) for n in answer), 2)
    except (TypeError, UsageError):
        return "Answer with three whole numbers of voxels, for z, y and x."
    planes = [
        tuple(n // 2 if a == axis else slice(None) for a, n in enumerate(shape))
        for axis in range(3)
    ]
    worst = [grid.need(plane).amplification for plane in planes]
    if max(worst) > 70:
        axis = "zyx"[worst.index(max(worst))]
        return f"The {axis} slice costs {max(worst):.0f}: the chunk is too thick along {axis}."
    if grid.n_objects > 2000:
        return f"That makes {grid.n_objects:,} files: the chunks are too small."
    return ""


@exercise(
    "read-amplification-4",
    hint="Count along one axis as in the chapter, then multiply over the axes.",
    cases=[
        ((0, 0, 0), (0, 0, 0), (32, 32, 32)),
        ((4,), (13,), (6,)),
        ((10, 0, 30), (73, 63, 39), (32, 32, 32)),
        ((31, 32), (32, 63), (32, 32)),
        ((0, 5, 5, 5), (2, 9, 10, 11), (1, 5, 5, 5)),
    ],
)
def your_own_counter(first: Sequence[int], last: Sequence[int], chunks: Sequence[int]) -> int:
    return math.prod(z // c - a // c + 1 for a, z, c in zip(first, last, chunks, strict=True))
