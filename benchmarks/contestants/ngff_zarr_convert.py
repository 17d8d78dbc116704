"""ngff-zarr 0.50: an array to OME-Zarr 0.5 with four levels, blosc-zstd 3, chunks of 128."""

import shutil
from collections.abc import Callable
from typing import Any


def prepare(source: str, out: str, method: str | None, levels: int = 4) -> Callable[[], Any]:
    """Give a callable that writes `source` (.npy) to `out`, after a small warm run."""
    import ngff_zarr
    import numpy as np

    blosc = {
        "name": "blosc",
        "configuration": {
            "typesize": 2,
            "cname": "zstd",
            "clevel": 3,
            "shuffle": "shuffle",
            "blocksize": 0,
        },
    }
    factors = [dict.fromkeys("zyx", 2**d) for d in range(1, levels)]
    chosen = ngff_zarr.Methods[method] if method else None

    def write(array: Any, folder: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        image = ngff_zarr.to_ngff_image(array, dims=("z", "y", "x"), scale=dict.fromkeys("zyx", 1))
        pyramid = ngff_zarr.to_multiscales(image, scale_factors=factors, method=chosen, chunks=128)
        ngff_zarr.to_ngff_zarr(folder, pyramid, version="0.5", compressors=[blosc])

    write(np.zeros((128, 128, 128), np.uint16), out)
    return lambda: write(np.load(source, mmap_mode="r"), out)
