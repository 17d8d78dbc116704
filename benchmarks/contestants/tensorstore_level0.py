"""tensorstore writing level 0 alone: the time that encoding and writing take in any case."""

import shutil
from collections.abc import Callable
from typing import Any


def prepare(source: str, out: str, shards: bool, workers: int = 2) -> Callable[[], Any]:
    """Give a callable that writes `source` (.npy) to `out`; `shards` of 512, else chunks of 128."""
    import numpy as np
    import tensorstore as ts

    from enormous.codecs import Codec

    codecs = Codec.parse("blosc-zstd:3:shuffle").tensorstore(3, 2)["codecs"]
    chunk = [128, 128, 128]
    if shards:
        inner = {
            "chunk_shape": chunk,
            "codecs": codecs,
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
        }
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    outer = [512, 512, 512] if shards else chunk
    context = ts.Context(
        {
            "data_copy_concurrency": {"limit": workers},
            "file_io_concurrency": {"limit": workers},
            "file_io_sync": False,
        }
    )

    def write(array: Any, folder: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "metadata": {
                "shape": list(array.shape),
                "data_type": "uint16",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": outer}},
                "codecs": codecs,
            },
        }
        target = ts.open(spec, create=True, context=context).result()
        target.write(array, can_reference_source_data_indefinitely=True).result()

    write(np.zeros((128, 128, 128), np.uint16), out)
    return lambda: write(np.load(source, mmap_mode="r"), out)
