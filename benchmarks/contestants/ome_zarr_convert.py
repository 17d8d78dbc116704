"""ome-zarr-py 0.18: an array to OME-Zarr 0.5 with four levels, blosc-zstd 3, chunks of 128."""

import shutil
from collections.abc import Callable
from typing import Any


def prepare(source: str, out: str, method: str, levels: int = 4) -> Callable[[], Any]:
    """Give a callable that writes `source` (.npy) to `out`, after a small warm run."""
    import dask.array as da
    import numpy as np
    import zarr.codecs
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    codec = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=2)
    options = {"chunks": (128, 128, 128), "compressors": [codec]}
    factors = [dict.fromkeys("zyx", 2**d) for d in range(1, levels)]

    def write(array: Any, folder: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        write_image(
            da.from_array(array, chunks=(128, 128, 128)),
            folder,
            scale_factors=factors,
            method=Methods[method],
            axes="zyx",
            storage_options=options,
        )

    write(np.zeros((128, 128, 128), np.uint16), out)
    return lambda: write(np.load(source, mmap_mode="r"), out)
