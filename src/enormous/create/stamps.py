"""Size and time of input files: kept out of what a plan is known by, and beside it instead.

A slice that turns out to be broken is copied again and the run resumed: it is the same plan
still. What the engine does with them: :mod:`enormous.engine.inputs`. Called by
:mod:`enormous.create.convert` and :mod:`enormous.create.pyramid`.

Of a Zarr array on disk only the file of its metadata is looked at: its chunks may be millions,
and writing into one leaves no mark elsewhere. Nothing is looked at behind a network.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from enormous.create.sources.slices import SlicesDetail
from enormous.create.sources.source import Source
from enormous.create.sources.zarr import ZarrDetail
from enormous.engine.inputs import InputFile, stamp
from enormous.errors import DataError
from enormous.stores import locate

_STAMP = {"path", "size", "mtime_ns"}
_ARRAY_FILES = ("zarr.json", ".zarray")


def without_stamps(source: Source) -> Source:
    """The source as it goes into a plan: equal for files that were only written again."""
    return dataclasses.replace(source, detail=_walk(source.detail, lambda _: (0, 0)))


def with_stamps(source: Source, inputs: Sequence[InputFile]) -> Source:
    """The source with its files as they were when the plan was made; readers refuse others.

    Raises
    ------
    DataError
        If the plan does not know one of them.
    """
    known = {file.path: (file.size, file.mtime_ns) for file in inputs}

    def find(path: str) -> tuple[int, int]:
        if path not in known:
            raise DataError(f"{path} is not among the files that the plan was made of")
        return known[path]

    return dataclasses.replace(source, detail=_walk(source.detail, find))


def inputs_of(source: Source) -> tuple[InputFile, ...]:
    """The files of a source, as `open_source` found them, and which voxels each holds."""
    detail = source.detail
    if isinstance(detail, ZarrDetail):
        return tuple(InputFile(path, *stamp(path)) for path in _zarr_files(detail))
    if isinstance(detail, SlicesDetail) and len(detail.layout.stored) > len(detail.letters):
        along = detail.layout.stored[0]
        axis = source.axes.index(along) if along in source.axes else None
        return tuple(
            InputFile(s.path, s.size, s.mtime_ns, axis, number, number + 1)
            for number, s in enumerate(detail.slices)
        )
    return tuple({f.path: InputFile(f.path, f.size, f.mtime_ns) for f in _stamps(detail)}.values())


def _zarr_files(detail: ZarrDetail) -> list[str]:
    location = locate(detail.url)
    if location.kind == "zip":
        return [location.base]
    if location.kind != "file":
        return []
    files = [os.path.join(location.base, name) for name in _ARRAY_FILES]
    return [path for path in files if Path(path).is_file()][:1]


def _stamps(value: Any) -> Iterator[Any]:
    """All that has a path, a size and a time, in a frozen value of tuples and dataclasses."""
    if type(value) is tuple:
        for item in value:
            yield from _stamps(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if held.keys() >= _STAMP:
            yield value
        for item in held.values():
            yield from _stamps(item)


def _walk(value: Any, stamp: Callable[[str], tuple[int, int]]) -> Any:
    """Replace the stamps in a frozen value of tuples and dataclasses."""
    if type(value) is tuple:
        return tuple(_walk(item, stamp) for item in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {
        field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init
    }
    changed = {name: _walk(item, stamp) for name, item in held.items()}
    if held.keys() >= _STAMP:
        changed["size"], changed["mtime_ns"] = stamp(held["path"])
    return dataclasses.replace(value, **changed)
