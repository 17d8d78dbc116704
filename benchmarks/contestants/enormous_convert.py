"""enormous: any source to OME-Zarr 0.5 with four levels, blosc-zstd 3, chunks of 128."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def prepare(
    source: str, out: str, shards: int | str, workers: int = 2, levels: int = 4
) -> Callable[[], Any]:
    """Give a callable that converts `source` to `out`, after a small warm run."""
    import numpy as np

    from enormous.create import convert

    def write(stack: str, folder: str, levels: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        convert.run(
            stack,
            folder,
            voxel_size=(1.0, 1.0, 1.0),
            chunks=128,
            shards=shards,
            codec="blosc-zstd:3:shuffle",
            levels=levels,
            workers=workers,
        )

    small = Path(out).with_suffix(".warm.npy")
    np.save(small, np.arange(256**3, dtype=np.uint16).reshape(256, 256, 256))
    write(str(small), out, 2)
    small.unlink()
    return lambda: write(source, out, levels)
