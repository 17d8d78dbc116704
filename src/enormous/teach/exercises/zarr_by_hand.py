"""Answers to the exercises of "Zarr by hand"."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enormous.teach.check import exercise


@exercise(
    "zarr-by-hand-1",
    hint="Divide each coordinate by the chunk's edge along its own axis, and drop the rest.",
)
def the_file_of_a_voxel() -> str:
    index = [v // c for v, c in zip((700, 300, 500), (64, 128, 128), strict=True)]
    return "/".join(["c", *map(str, index)])


@exercise("zarr-by-hand-2", many=True)
def write_a_chunk(encode: Any) -> str:
    import numcodecs
    import numpy as np

    if not callable(encode):
        return "Give the function itself: check('zarr-by-hand-2', encode_chunk)."
    rng = np.random.default_rng(0)
    for shape in ((4, 6, 8), (4, 5, 8), (1, 1, 3)):
        part = rng.normal(size=shape).astype(np.float32)
        given = part.copy()
        stored = encode(part, (4, 6, 8))
        if not np.array_equal(part, given):
            return "It changed its input; work on an array of your own."
        try:
            raw = numcodecs.Zstd().decode(bytes(stored))
        except (RuntimeError, TypeError, ValueError):
            return "What it returns is not bytes compressed with zstd."
        if len(raw) != 4 * 6 * 8 * 4:
            return f"A part of shape {shape} unpacks to {len(raw)} bytes; chunks are stored whole."
        if not _is_the_chunk(raw, part):
            if _is_the_chunk(np.frombuffer(raw, "<f4").astype(">f4").tobytes(), part):
                return "The numbers are right but little-endian; the metadata say big."
            return "The voxels, or what fills up the chunk, are not as the metadata say."
    return ""


def _is_the_chunk(raw: bytes, part: Any) -> bool:
    import numpy as np

    whole = np.full((4, 6, 8), np.nan, ">f4")
    whole[tuple(slice(n) for n in part.shape)] = part
    return np.array_equal(np.frombuffer(raw, ">f4").reshape(4, 6, 8), whole, equal_nan=True)


def _array(path: Path, shape: Sequence[int], chunks: Sequence[int], keys: Sequence[str]) -> None:
    """Write the metadata of a v3 array, and an empty file for each of some chunks."""
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
    }
    for key in keys:
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).touch()
    path.mkdir(exist_ok=True)
    (path / "zarr.json").write_text(json.dumps(metadata))


@exercise("zarr-by-hand-3", many=True)
def which_are_missing(missing: Any) -> str:
    if not callable(missing):
        return "Give the function itself: check('zarr-by-hand-3', missing)."
    cases: list[tuple[Sequence[int], Sequence[int], list[str], list[str]]] = [
        ((4, 4), (2, 2), ["c/0/0", "c/0/1", "c/1/0", "c/1/1"], []),
        ((4, 4), (2, 2), ["c/0/0", "c/1/1"], ["c/0/1", "c/1/0"]),
        ((1, 5, 3), (1, 2, 3), ["c/0/1/0"], ["c/0/0/0", "c/0/2/0"]),
    ]
    for shape, chunks, there, gone in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "array.zarr"
            _array(path, shape, chunks, there)
            found = [str(key) for key in missing(path)]
        if sorted(found) != gone:
            return (
                f"Shape {tuple(shape)}, chunks {tuple(chunks)}: it found {sorted(found)}, "
                f"but {gone} are missing."
            )
    return ""


_BROKEN = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [8, 8, 8],
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "attributes": {"organ": "heart"},
}


@exercise(
    "zarr-by-hand-4",
    hint="Two things can be seen in a key: whether it begins with c, and what stands between.",
    cases=[
        (_BROKEN, ["c/0/1/0", "c/1/0/0"]),
        (_BROKEN, ["c.0.1.0"]),
        (_BROKEN, ["0.1.0", "0.0.0"]),
        (_BROKEN, ["0/1/0"]),
    ],
)
def repair(metadata: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    name = "default" if keys[0].startswith("c") else "v2"
    separator = "/" if "/" in keys[0] else "."
    encoding = {"name": name, "configuration": {"separator": separator}}
    return {**metadata, "chunk_key_encoding": encoding}
