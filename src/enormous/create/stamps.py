"""Size and time of input files: kept out of plans, looked up when reading begins.

A slice that turns out to be broken is copied again and the run resumed: it is the same plan
still. While a process reads, its files must not change; the readers see to that. Called by
:mod:`enormous.create.convert`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from enormous.create.sources.source import Source
from enormous.errors import DataError

_STAMP = {"path", "size", "mtime_ns"}


def without_stamps(source: Source) -> Source:
    """The source as it goes into a plan: equal for files that were only written again."""
    return dataclasses.replace(source, detail=_walk(source.detail, lambda _: (0, 0)))


def with_stamps(source: Source) -> Source:
    """The source as its files are now.

    Raises
    ------
    DataError
        If a file is gone.
    """
    return dataclasses.replace(source, detail=_walk(source.detail, _look))


def _look(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(
            f"{path} could be read before and no longer can: {error.strerror or error}"
        ) from error
    return found.st_size, found.st_mtime_ns


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
