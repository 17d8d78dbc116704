"""What the chapter "Stores: where the bytes may be" tries on zarr, and the words for it.

Called by that chapter alone: `contents` shows any zarr store as a dictionary,
`seen_elsewhere` lets another process write, `MISTAKES` are the common ones with
their meaning, and `provoke` makes one and returns what zarr says.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store

#: What `provoke` returns where nothing was said.
SILENCE = "(nothing)"
_LONGEST = 100

_ELSEWHERE = """
import pickle, sys, zarr
for parcel, path in pickle.load(sys.stdin.buffer):
    try:
        store = pickle.loads(parcel)
        zarr.open_array(store, path=path, mode="r+")[-1:] = 77
        store.close()
    except Exception:  # what the other process sees of it, is the result
        pass
"""


class Mistake(NamedTuple):
    """A line that goes wrong, what zarr's answer means, and what to do."""

    code: str
    means: str
    do: str


#: Lines for `provoke`, in the scene that `set_scene` makes.
MISTAKES = (
    Mistake(
        'zarr.open(nowhere, mode="r")',
        "nothing is at that path",
        "check the path. Is the drive there?",
    ),
    Mistake(
        'zarr.open_array(scan, mode="r")',
        "you opened the image, not one of its levels",
        'add the level: scan + "/0"',
    ),
    Mistake(
        'zarr.open_group(scan + "/0", mode="r")',
        "this is an array, and you asked for a group",
        "open_array",
    ),
    Mistake(
        'zarr.open_group(scan, mode="r")["9"]',
        "there is no child of that name",
        "list(group) shows the names",
    ),
    Mistake(
        'zarr.open_array(scan + "/0", mode="r", zarr_format=2)',
        "it is there, in the other format",
        "leave out zarr_format",
    ),
    Mistake(
        'zarr.open(packed, mode="r")',
        "a zip file as text is taken for a folder",
        "ZipStore(packed), or enormous.stores.locate",
    ),
    Mistake(
        "zarr.open(bucket)",
        "an obstore store has to be wrapped",
        "zarr.storage.ObjectStore(bucket)",
    ),
    Mistake(
        'zarr.create_array(scan + "/0", shape=8, dtype="u1")',
        "the output exists already",
        "another name; overwrite=True deletes what is there",
    ),
    Mistake(
        'zarr.create_array({}, shape=(99,), chunks=(30,), shards=(99,), dtype="u1")',
        "a shard holds whole chunks only",
        "make shards a multiple of chunks",
    ),
    Mistake(
        'zarr.create_array({}, shape=(99,), chunks=(33,), shards=(99,), dtype="u1", zarr_format=2)',
        "Zarr v2 has no shards",
        "zarr_format=3",
    ),
    Mistake(
        'zarr.create_array({}, shape=99, dtype="u1", compressors=numcodecs.Zstd())',
        "a codec for v2, where v3 is written",
        "zarr.codecs.ZstdCodec()",
    ),
    Mistake(
        'zarr.open_array(scan + "/0", mode="r")[0] = 1',
        "opened for reading only",
        'mode="r+"',
    ),
    Mistake("array[:] = np.zeros((3, 3))", "the shapes do not fit", "compare array.shape"),
    Mistake("array[::-1]", "no steps backwards", "read first, then turn the result"),
    Mistake("array[0] = 300", "300 does not fit into uint8", "clip, or a larger dtype"),
    Mistake(
        'zarr.open_array(torn, mode="r")[:]',
        "a chunk's file is damaged",
        "get that file from another copy",
    ),
    Mistake(
        'zarr.open_array(secret, mode="r")',
        "a codec that is not installed here",
        "install its package, or ask who wrote it",
    ),
    Mistake(
        "array[:] = np.full((4, 4), 300)",
        "an array of 300 is cut to 8 bits: 44 is stored",
        "check the range yourself",
    ),
    Mistake(
        "zarr.open_group(typo)",
        "nothing was there, so an empty group was made",
        'always give mode="r" to read',
    ),
)


def contents(store: Store) -> dict[str, bytes]:
    """Return all that a zarr store holds: keys, in order, and their bytes."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    async def read() -> dict[str, bytes]:
        keys = sorted([key async for key in store.list()])
        found = {key: await store.get(key, default_buffer_prototype()) for key in keys}
        return {key: value.to_bytes() for key, value in found.items() if value is not None}

    return sync(read())


def seen_elsewhere(arrays: Sequence[zarr.Array[Any]]) -> list[bool]:
    """Let another process write the last plane of each array; say which of them show it here.

    Each array's store is pickled to that process, as dask or multiprocessing would. Stores
    that cannot be pickled, or hold their data in this process alone, come back False.
    """
    import numpy as np

    parcels = []
    for array in arrays:
        try:
            parcel = pickle.dumps(array.store)
        except Exception:  # any store may refuse, in its own way
            parcel = b""
        parcels.append((parcel, array.path))
    subprocess.run(
        [sys.executable, "-c", _ELSEWHERE], input=pickle.dumps(parcels), check=True, timeout=120
    )

    def shows(array: zarr.Array[Any]) -> bool:
        try:
            return bool(np.all(array[-1:] == 77))
        except Exception:  # a zip file that the other has emptied, for one
            return False

    return [shows(array) for array in arrays]


def set_scene(folder: Path) -> dict[str, Any]:
    """Make what `MISTAKES` speak of below an empty folder; returns their names."""
    import json

    import numcodecs
    import numpy as np
    import zarr
    from obstore.store import MemoryStore
    from zarr.storage import ZipStore

    group = zarr.create_group(folder / "scan.zarr")
    for name in ("0", "1"):
        level = group.create_array(name, shape=(8, 8), chunks=(4, 4), dtype="u1")
        level[:] = np.arange(64).reshape(8, 8)
    with ZipStore(folder / "packed.zip", mode="w") as store:
        zarr.create_group(store)
    for name in ("torn", "secret"):
        made = zarr.create_array(folder / name, shape=(8, 8), chunks=(4, 4), dtype="u1")
        made[:] = np.arange(64).reshape(8, 8)
    chunk = folder / "torn" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:5])
    metadata = json.loads((folder / "secret" / "zarr.json").read_text())
    metadata["codecs"][-1]["name"] = "secret"
    (folder / "secret" / "zarr.json").write_text(json.dumps(metadata))
    places = {name: str(folder / f"{name}.zarr") for name in ("scan", "nowhere", "typo")}
    places |= {name: str(folder / name) for name in ("torn", "secret")}
    array = zarr.create_array({}, shape=(4, 4), dtype="u1")
    modules = {"zarr": zarr, "np": np, "numcodecs": numcodecs}
    packed = str(folder / "packed.zip")
    return modules | places | {"array": array, "packed": packed, "bucket": MemoryStore()}


def provoke(code: str, names: dict[str, Any], folder: Path) -> str:
    """Run a line and return what it says: the kind of error and its first line, shortened.

    The folder's path is written as three dots.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(code, dict(names))  # lines of this module and of the chapter's own
        except Exception as error:  # zarr raises a dozen kinds; which, is what we want to see
            said = " ".join((str(error).splitlines() or [""])[0].split())
            for path in (f"file://{folder}/", f"{folder}/"):
                said = said.replace(path, "…/")
            said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
            return f"{type(error).__name__}: {said}"
    return SILENCE
