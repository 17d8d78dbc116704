"""Answers to the exercises of "What the readers read"."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from enormous.teach.check import NotAnswered, exercise


@exercise("readers-1", hint="Which first digits come before a 2, and how many names have them?")
def files_before_slice_2() -> int:
    return sorted(f"slice_{n}.tif" for n in range(1500)).index("slice_2.tif")


@exercise(
    "readers-2",
    hint="Compare the digits as numbers and the rest as text, piece by piece from the left.",
    cases=[
        (["slice_10.tif", "slice_2.tif", "slice_1.tif"],),
        (["t2_z10.tif", "t10_z1.tif", "t2_z9.tif", "t1_z100.tif"],),
        (["s007.tif", "s07b.tif", "s0100.tif", "s20.tif"],),
        (["b1.tif", "a2.tif", "a10.tif"],),
        ([],),
    ],
)
def sorted_by_number(names: list[str]) -> list[str]:
    from tifffile import natural_sorted

    return list(natural_sorted(names))


@exercise("readers-3", many=True)
def where_it_is_torn(tear: Any) -> str:
    import numpy as np
    from scipy import ndimage

    if not callable(tear):
        return "Give the function itself: check('readers-3', tear)."
    rng = np.random.default_rng(5)
    for depth, first in [(20, 7), (31, 30), (16, 1), (24, 12)]:
        smooth = ndimage.gaussian_filter(rng.normal(size=(depth, 24, 20)), (3, 2, 2))
        whole = (20_000 + 100_000 * smooth).clip(0, 65_535).astype(np.uint16)
        torn = np.concatenate([whole[depth - first :], whole[: depth - first]])
        said = tear(torn)
        if said is None or said is ...:
            raise NotAnswered
        if said != first:
            off = "one off: slice or pair?" if abs(int(said) - first) == 1 else "not there"
            return f"In a scan of {depth} slices it said {said}: {off}."
    return ""


@exercise("readers-4", many=True)
def one_slice_alone(read_slice: Any) -> str:
    import numpy as np
    import tifffile

    from enormous.errors import DataError
    from enormous.teach.readers import count_bytes

    if not callable(read_slice):
        return "Give the function itself: check('readers-4', read_slice)."
    stack = np.random.default_rng(6).integers(0, 60_000, (24, 160, 128)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        for compression in (None, "deflate"):
            path = Path(folder) / f"{compression}.tif"
            tifffile.imwrite(path, stack, photometric="minisblack", compression=compression)
            what = f"for a stack with compression {compression}"
            for z in (0, 13, 23):
                try:
                    count, plane = count_bytes(partial(read_slice, str(path), z))
                except DataError:  # not on Linux: nothing counts
                    count, plane = 0, read_slice(str(path), z)
                if plane is None or plane is ...:
                    raise NotAnswered
                if not np.array_equal(plane, stack[z]):
                    return f"Slice {z} is not what was written ({what})."
                if count > path.stat().st_size / 4:
                    share = 100 * count / path.stat().st_size
                    return f"It read {share:.0f} % of the file for slice {z} ({what})."
    return ""
