"""Answers to the exercises of "Writing in parallel"."""

import math
import operator
from typing import Any

from enormous.grid import Grid, Tiling, boxes
from enormous.teach.check import exercise

Region = tuple[slice, ...]
Shape = tuple[int, int, int]

_PLAIN = Grid((128, 96, 96), (32, 32, 32), 2)
_SHARDED = Grid((128, 96, 96), (32, 32, 32), 2, shards=(64, 96, 96))
_HUGE = Grid((500_000, 400_000, 400_000), (64,) * 3, 2, shards=(512,) * 3)
_ALL = slice(None)


def _box(*ends: tuple[int, int]) -> Region:
    return tuple(slice(*pair) for pair in ends)


_CASES: list[tuple[Grid, Region, Region]] = [
    (_PLAIN, (slice(0, 32), _ALL, _ALL), (slice(32, 64), _ALL, _ALL)),
    (_PLAIN, (slice(0, 48), _ALL, _ALL), (slice(48, 128), _ALL, _ALL)),
    (_SHARDED, (slice(0, 32), _ALL, _ALL), (slice(32, 64), _ALL, _ALL)),  # whole chunks
    (_SHARDED, (slice(0, 64), _ALL, _ALL), (slice(64, 128), _ALL, _ALL)),
    # along two axes they meet, along the third they do not
    (_PLAIN, _box((0, 32), (0, 96), (0, 40)), _box((0, 128), (0, 96), (64, 96))),
    (_PLAIN, _box((0, 32), (0, 40), (0, 40)), _box((0, 128), (40, 96), (40, 96))),
    (_PLAIN, _box((0, 128), (0, 96), (0, 96)), _box((40, 41), (50, 51), (50, 51))),  # within
    (_HUGE, _box((0, 250_000), (0, 400_000), (0, 400_000)), _box(*[(250_000, 400_000)] * 3)),
    (_HUGE, _box((0, 512), (0, 400_000), (0, 400_000)), _box((512, 513), (0, 1), (0, 1))),
]


def _hint(answer: Any, expected: Any) -> str:
    if answer is True:
        return "Two boxes overlap only where they do so along every axis."
    return "Which voxels does one object of the store hold: a chunk, or a shard?"


@exercise("parallel-writes-1", hint=_hint, cases=_CASES)
def clash(grid: Grid, one: Region, other: Region) -> bool:
    touched = zip(grid.by_object.touched(one), grid.by_object.touched(other), strict=True)
    return all(set(a) & set(b) for a, b in touched)


@exercise("parallel-writes-2", hint="How many of the eight layers of chunks does each slice send?")
def a_camera_that_cannot_wait() -> int:
    grid = Grid((512, 4096, 4096), (64,) * 3, 2, shards=(512,) * 3)
    layers = [z // grid.chunks[0] + 1 for z in range(grid.shape[0])]  # there, after each slice
    return sum(layers) // grid.by_chunk.counts[0]


_PLANS: dict[str, tuple[Shape, Shape]] = {  # the task, the object
    "A": ((64, 64, 64), (32, 32, 32)),
    "B": ((64, 64, 64), (128, 128, 128)),
    "C": ((1, 512, 512), (1, 128, 128)),
    "D": ((96, 512, 512), (64, 64, 64)),
}


@exercise("parallel-writes-3", hint="Lay the tasks over the shards: who has two owners?")
def four_plans() -> set[str]:
    shape = (200, 512, 512)
    return {name for name, (task, stored) in _PLANS.items() if _has_owners(shape, task, stored)}


def _has_owners(shape: Shape, task: Shape, stored: Shape) -> bool:
    tiling = Tiling(shape, stored)
    written = sum(math.prod(map(len, tiling.touched(box))) for box in boxes(shape, task))
    return written == tiling.n


@exercise("parallel-writes-4", many=True)
def choose_a_block(answer: Any) -> str:
    shape, shard, workers = (6000, 5000, 5000), (256, 512, 512), 24
    try:
        block = [operator.index(n) for n in answer]
        if len(block) != 3 or min(block) < 1:
            raise ValueError
    except (TypeError, ValueError):
        return "Answer with three whole numbers of voxels, for z, y and x."
    block = [min(b, n) for b, n in zip(block, shape, strict=True)]
    if any(b % s and b < n for b, s, n in zip(block, shard, shape, strict=True)):
        return "Two tasks would write one shard: the block has to be whole shards along every axis."
    memory = workers * 4 * 2 * math.prod(block)
    if memory > 200e9:
        return f"{workers} workers would need {memory / 1e9:,.0f} GB: too much."
    tasks = Tiling(shape, tuple(block)).n
    if tasks < 4 * workers:
        return f"That makes {tasks} tasks for {workers} workers: too few."
    return ""
