"""Answers to the exercises of "How big is enormous?"."""

import math
import tracemalloc
from typing import Any

from enormous import samples
from enormous.teach.check import exercise


@exercise("how-big-1", hint="Multiply channels, slices, rows, columns and bytes per voxel.")
def light_sheet() -> float:
    return 2 * 2000 * 2048 * 2048 * 2 / 1e9


@exercise("how-big-2", hint="How many times more voxels along z? Along y? Along x?")
def four_times_finer() -> float:
    return 60e9 * (20 // 5) ** 3 / 1e12


@exercise("how-big-3", hint="Halve the shape, multiply, compare with a quarter of 16 GB; repeat.")
def level_that_fits() -> int:
    shape = [math.ceil(length / 20) for length in samples.describe("heart").field_of_view]
    level = 0
    while math.prod(shape) * 2 * 4 > 16e9:
        shape = [math.ceil(n / 2) for n in shape]
        level += 1
    return level


@exercise("how-big-4", many=True)
def fewer_copies(rescale: Any) -> str:
    import numpy as np

    if not callable(rescale):
        return "Give the function itself: check('how-big-4', rescale)."
    image = np.random.default_rng(0).integers(100, 60_000, (64, 64, 64)).astype(np.uint16)
    before = image.copy()
    tracemalloc.start()
    try:
        result = rescale(image)
        peak = 1 + tracemalloc.get_traced_memory()[1] / image.nbytes
    finally:
        tracemalloc.stop()
    if not isinstance(result, np.ndarray) or result.dtype != np.float32:
        return "It must return an array of float32."
    if not np.array_equal(image, before):
        return "It changed its input; convert to float32 first, then work on the copy."
    span = float(before.max()) - float(before.min())
    if not np.allclose(result, (before - float(before.min())) / span, atol=1e-5):
        return "The smallest voxel must become 0 and the largest 1, evenly between."
    if peak > 4.05:
        return f"It needed {peak:.1f} times the image; use in-place operators such as -= and /=."
    return ""
