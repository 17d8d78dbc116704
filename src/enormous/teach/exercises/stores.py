"""Answers to the exercises of "Stores: where the bytes may be"."""

import hashlib
import tempfile
import warnings
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from enormous.grid import Grid
from enormous.teach.check import NotAnswered, exercise


@exercise("stores-1", hint="A section along y stands on which two axes? Round up, and multiply.")
def chunks_of_a_section() -> int:
    return Grid((806, 629, 700), (64, 64, 64), 2).need((slice(None), 300)).chunks


@exercise("stores-2", many=True)
def what_is_gone(gone: Any) -> str:
    import numpy as np
    import zarr

    if not callable(gone):
        return "Give the function itself: check('stores-2', gone)."
    rng = np.random.default_rng(8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.zarr"
        array = zarr.create_array(path, shape=(8, 8), chunks=(4, 4), dtype="u2")
        array[:] = rng.integers(0, 2**16, (8, 8))
        files = {f.relative_to(path).as_posix(): f for f in path.rglob("*") if f.is_file()}
        before = {key: hashlib.md5(f.read_bytes()).hexdigest() for key, f in files.items()}
        for lost, damaged in ([], []), (["c/0/1"], []), (["c/0/1", "c/1/0"], ["c/1/1"]):
            for key in lost:
                files[key].unlink(missing_ok=True)
            for key in damaged:
                files[key].write_bytes(files[key].read_bytes()[::-1])
            said = gone(path, dict(before))
            if said is None or said is ...:
                raise NotAnswered
            if not isinstance(said, tuple | list) or len(said) != 2:
                return "Return two lists: the lost and the damaged."
            for name, told, truth in zip(("lost", "damaged"), said, (lost, damaged), strict=True):
                if sorted(told) != truth:
                    return f"There are {len(truth)} {name} files, and it named {len(told)} so."
    return ""


@exercise(
    "stores-3",
    hint="A hit makes a key the newest. Only when there is no room, the oldest goes.",
    cases=[
        ([], 2),
        ([1, 1, 1], 0),
        ([1, 2, 1, 2, 1], 2),
        ([1, 2, 3, 1, 2, 3, 1, 2, 3], 2),
        ([1, 2, 3, 1, 2, 3, 1, 2, 3], 3),
        ([1, 2, 1, 3, 1, 2], 2),
    ],
)
def hits(keys: list[Any], room: int) -> int:
    kept: OrderedDict[Any, None] = OrderedDict()
    found = 0
    for key in keys:
        if key in kept:
            found += 1
            kept.move_to_end(key)
        elif room:
            if len(kept) == room:
                kept.popitem(last=False)
            kept[key] = None
    return found


@exercise("stores-4", many=True)
def a_group_that_harms_nothing(make_group: Any) -> str:
    import zarr

    if not callable(make_group):
        return "Give the function itself: check('stores-4', make_group)."
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new = folder / "new.zarr"
        made = getattr(make_group, "__wrapped__", make_group)(str(new))  # may return nothing
        if not (new / "zarr.json").is_file():
            if made is None or made is ...:
                raise NotAnswered
            return "Where nothing is, it must make a group."
        if not isinstance(made, zarr.Group):
            return "Return the group that it made."
        image = zarr.create_group(folder / "image.zarr")
        image.create_array("0", shape=(4,), chunks=(2,), dtype="u1")[:] = 1
        old = zarr.create_group(folder / "old.zarr", zarr_format=2)
        old.create_array("0", shape=(4,), chunks=(2,), dtype="u1")[:] = 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr says that v3 does not know of it
            zarr.create_group(folder / "whole.zarr").create_array("0", shape=4, dtype="u1")
            zarr.consolidate_metadata(folder / "whole.zarr")
        for where, path in {
            "Inside a group": folder / "image.zarr" / "labels",
            "Inside a group of Zarr v2": folder / "old.zarr" / "labels",
            "Inside a group with consolidated metadata": folder / "whole.zarr" / "labels",
        }.items():
            with suppress(FileExistsError):
                make_group(str(path))
            if not (path / "zarr.json").is_file() and not (path / ".zgroup").is_file():
                return f"{where} another may be made: only arrays hold nothing."
        (folder / "thesis").mkdir()
        (folder / "thesis" / "chapter1.txt").write_text("It was a dark and stormy night.")
        tries = {
            "on a group that is there": folder / "image.zarr",
            "on an array": folder / "image.zarr" / "0",
            "on a folder with other files": folder / "thesis",
            "below an array": folder / "image.zarr" / "0" / "labels",
            "two floors below an array": folder / "image.zarr" / "0" / "a" / "b",
            "below an array of Zarr v2": folder / "old.zarr" / "0" / "labels",
        }
        for where, path in tries.items():
            before = _all_bytes(folder)
            try:
                make_group(str(path))
            except FileExistsError:
                pass
            except Exception as error:  # any other is not what was asked for
                return f"Raise FileExistsError {where}, not {type(error).__name__}."
            else:
                return f"It raised nothing {where}."
            if _all_bytes(folder) != before:
                return f"It changed files {where}."
    return ""


def _all_bytes(folder: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
