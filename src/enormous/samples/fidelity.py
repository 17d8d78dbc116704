"""How the samples compress, beside the published scans that they are twins of.

Called by ``benchmarks/samples_fidelity.py``, which records a run for the
samples page, and by the slow tests, which hold the samples to these figures.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from enormous.codecs import Codec
from enormous.engine.pool import run_blocks, workers_or_default
from enormous.errors import DataError
from enormous.grid import Tiling
from enormous.samples.blocks import generate, one_block
from enormous.samples.catalogue import describe

#: Array bytes / stored bytes of the published scans, at 806 x 629 x 629 uint16, chunks of 128
#: cubed, edge chunks padded. Source: Zarr benchmarks for 3D images, 10.5281/zenodo.15544055.
PUBLISHED: dict[str, dict[str, float]] = {
    "blosc-zstd:3:shuffle": {"heart": 1.88, "dense": 27.9, "sparse": 1016},
    "blosc-zstd:3:bitshuffle": {"heart": 1.79, "dense": 23.6, "sparse": 1420},
    "blosc-zstd:3:noshuffle": {"heart": 1.54, "dense": 36.2, "sparse": 855},
    "blosc-lz4:3:shuffle": {"heart": 1.52, "dense": 7.3, "sparse": 135},
    "blosc-lz4hc:3:shuffle": {"heart": 1.75, "dense": 22.0, "sparse": 178},
    "blosc-zlib:3:shuffle": {"heart": 1.88, "dense": 21.7, "sparse": 163},
    "blosc-blosclz:3:shuffle": {"heart": 1.55, "dense": 13.9, "sparse": 162},
    "zstd:3": {"heart": 1.55, "dense": 36.1, "sparse": 1113},
    "gzip:6": {"heart": 1.54, "dense": 54.0, "sparse": 552},
    "none": {"heart": 0.87, "dense": 0.87, "sparse": 0.87},
}
CHUNK = (128, 128, 128)

#: A recorded run over all chunks of all samples; see :func:`recorded`.
RECORD = Path(__file__).with_name("fidelity.json")


def fingerprint(name: str) -> int:
    """CRC-32 of the ``tiny`` sample: tells one version of a generator from another."""
    return zlib.crc32(generate(name, "tiny").tobytes())


def recorded(name: str) -> dict[str, float]:
    """The ratios of a sample at ``full``, from the run that ships with the package.

    Raises
    ------
    DataError
        If that run was made by another version of the generator.
    """
    record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))[name]
    if record["fingerprint"] != fingerprint(name):
        raise DataError(
            f"the recorded ratios of {name} are of another version of its generator; "
            "record them anew: python benchmarks/samples_fidelity.py"
        )
    ratios: dict[str, float] = record["ratios"]
    return ratios


def ratios(
    name: str, codecs: Iterable[str] = tuple(PUBLISHED), workers: int | None = None
) -> dict[str, float]:
    """Compression ratios of a sample at ``full``, all chunks, edge chunks padded with 0.

    Parameters
    ----------
    name : str
        ``heart``, ``dense`` or ``sparse``.
    codecs : iterable of str
        As :meth:`enormous.codecs.Codec.parse` reads them.
    workers : int, optional
        Threads; one for each processor by default.

    Returns
    -------
    dict of str to float
        Array bytes / stored bytes for each codec.
    """
    shape = describe(name).full_shape
    tiling = Tiling(shape, CHUNK)
    parsed = {text: Codec.parse(text) for text in codecs}

    stored = np.zeros((tiling.n, len(parsed)), np.int64)

    def encode(number: int) -> None:
        where = tiling.slices(tiling.index(number))
        size = tuple(s.stop - s.start for s in where)
        chunk = np.zeros(CHUNK, np.uint16)
        chunk[tuple(slice(n) for n in size)] = one_block(
            name, shape, tuple(s.start for s in where), size
        )
        stored[number] = [len(codec.encode(chunk.tobytes(), 2)) for codec in parsed.values()]

    run_blocks(encode, tiling.n, workers_or_default(workers))
    totals = stored.sum(axis=0)
    return {
        text: 2 * math.prod(shape) / int(total) for text, total in zip(parsed, totals, strict=True)
    }
