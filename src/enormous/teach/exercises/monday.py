"""Answers to the exercises of "Monday morning"."""

import re
import tempfile
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

from enormous.teach.check import NotAnswered, exercise

_RAW, _RATIO = 3000**3 * 2, 1.8


@exercise("monday-1", hint="Raw size, divided by the ratio. And the pyramid: one seventh more.")
def room_for_it() -> float:
    return _RAW / _RATIO * 8 / 7 / 1e9


@exercise("monday-2", hint="On one drive, reading and writing add up. On two, the slowest counts.")
def one_drive_or_two() -> float:
    stored = _RAW / _RATIO * 8 / 7
    one = max((_RAW + stored) / 120e6, _RAW / 1600e6)
    two = max(_RAW / 120e6, _RAW / 1600e6, stored / 500e6)
    return (one - two) / 60


@exercise(
    "monday-3",
    hint="Sort the numbers, not the names; the smallest distance between two is the step.",
    cases=[
        (["a_0001.tif", "a_0002.tif", "a_0004.tif", "a_0007.tif"],),
        (["s9.tif", "s10.tif", "s8.tif"],),
        (["s9.tif", "s12.tif", "s10.tif"],),
        (["scan2_000.tif", "scan2_005.tif", "scan2_015.tif", "scan2_020.tif"],),
        (["s2.tif", "s8.tif", "s10.tif", "s12.tif"],),
        (["only_17.tif"],),
    ],
)
def gaps(names: list[str]) -> list[int]:
    there = sorted(int(re.findall(r"\d+", name)[-1]) for name in names)
    step = min((b - a for a, b in pairwise(there)), default=1)
    return sorted(set(range(there[0], there[-1] + 1, step)) - set(there))


@exercise("monday-4", many=True)
def all_of_them(suspects: Any) -> str:
    import numpy as np
    import tifffile
    import zarr

    from enormous.ledger import Ledger

    if not callable(suspects):
        return "Give the function itself: check('monday-4', suspects)."
    stack = np.random.default_rng(4).integers(1, 60_000, (100, 96, 80)).astype(np.uint16)
    stack[3] = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"s{z:02}.tif" for z in range(len(stack))]
        for path, plane in zip(paths, stack, strict=True):
            tifffile.imwrite(path, plane)
        changed = stack.copy()
        changed[12, 7, 9] += 1
        changed[99, 95, 79] += 1
        made = zarr.create_array(
            Path(folder) / "a.zarr", shape=stack.shape, chunks=(8, 48, 40), dtype="uint16"
        )
        made[:] = changed
        ledger = Ledger()
        array = zarr.open_array(ledger.wrap(made.store), mode="r")
        with ledger.measure() as spent:
            found = suspects(paths, array)
        if found is None or found is ...:
            raise NotAnswered
        held = _peak_bytes(suspects, paths, array) / stack[0].nbytes
    found = sorted(int(z) for z in found)
    if 3 not in found:
        return "A slice of zeros was not reported, though array and file agree on it."
    if found != [3, 12, 99]:
        wrong = "too many" if set(found) > {3, 12, 99} else "not all that differ"
        return f"It reports {wrong}: look at every voxel of every slice, the last layer included."
    least = 13 * 2 * 2
    if spent.reads > 2 * least:
        return (
            f"It reads {spent.reads} chunks where {least} are enough: each chunk is 8 slices deep, "
            "so take 8 slices at a time."
        )
    if held > len(stack):
        return (
            "It holds the whole scan at a time. A real one does not fit: take a layer of chunks, "
            "compare its slices, and forget it."
        )
    return ""


def _peak_bytes(function: Any, *arguments: Any) -> int:
    """Memory that a call takes at most; called before, so that it imports nothing now."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
