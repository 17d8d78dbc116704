"""Zarr groups and arrays of any store, read as JSON and with no opinion on it.

For :mod:`enormous.ome.validate`: zarr itself opens what is damaged, or refuses it without
saying where. Folders, zip files, memory and plain servers.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, Self

from enormous._text import reason_text
from enormous.errors import DataError, UsageError
from enormous.stores import Location, exists


class Damaged(DataError):
    """Metadata that is there and cannot be made sense of: a fault of the data, to be listed."""


@dataclass(frozen=True)
class Node:
    """A group or an array.

    Parameters
    ----------
    path : str
        Inside the store; empty at its root.
    kind : {"array", "group"}
    zarr_format : {2, 3}
    attributes : mapping
    metadata : mapping
        The whole ``zarr.json``, or the ``.zarray``; empty for a group of Zarr v2.
    """

    path: str
    kind: Literal["array", "group"]
    zarr_format: int
    attributes: Mapping[str, Any]
    metadata: Mapping[str, Any]


class Tree:
    """What lies below a location; used in a ``with`` block."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._archive: zipfile.ZipFile | None = None
        self._names: list[str] = []
        self._store: Any = None
        self._zarr: Any = None
        self._prefix = f"{location.inner}/" if location.inner else ""
        self._first = 3  # the format to look for first: that of the root

    def __enter__(self) -> Self:
        location = self.location
        if location.kind != "http" and not exists(location):
            raise UsageError(f"{location.url} does not exist: check the path")
        if location.kind == "file" and os.path.isfile(location.base):
            raise UsageError(f"{location.url} is a file, neither a Zarr folder nor a .zip of one")
        if location.kind == "zip":
            self._archive = zipfile.ZipFile(location.base)
            self._names = self._archive.namelist()
        elif location.kind != "file":
            self._store, self._prefix = location.bytes()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._archive is not None:
            self._archive.close()
        if self._zarr is not None:
            self._zarr.close()

    def zarr(self) -> Any:
        """The zarr store of all this, opened once."""
        if self._zarr is None:
            self._zarr = self.location.zarr("r")
        return self._zarr

    def root(self) -> Node:
        """The node of the location itself.

        Raises
        ------
        Damaged
            If its metadata is damaged.
        DataError
            If it is not Zarr.
        """
        node = self.node("")
        if node is None:
            raise DataError(
                f"{self.location.url} is not Zarr: it holds neither zarr.json nor .zarray nor "
                ".zgroup; check the path"
            )
        self._first = node.zarr_format
        return node

    def node(self, path: str) -> Node | None:
        """The group or array at `path`; None where there is neither.

        Raises
        ------
        Damaged
            If its metadata is damaged.
        """
        finders = [self._third, self._second]
        for find in finders if self._first == 3 else reversed(finders):
            node = find(path)
            if node is not None:
                return node
        return None

    def children(self, path: str) -> list[str] | None:
        """Names of the folders below `path`, sorted; None where nothing can be listed."""
        if self.location.kind == "http":
            return None
        if self.location.kind == "file":
            try:
                with os.scandir(os.path.join(self.location.base, path)) as entries:
                    return sorted(entry.name for entry in entries if entry.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                return []
        below = self._prefix + (f"{path}/" if path else "")
        if self._archive is not None:
            return sorted(self._folders.get(below.rstrip("/"), ()))
        found = self._store.list(below or None)
        rest = (item["path"].removeprefix(below) for page in found for item in page)
        return sorted({name.split("/", 1)[0] for name in rest if "/" in name})

    @cached_property
    def _folders(self) -> Mapping[str, set[str]]:
        """Names of the folders in each folder of a zip file, found in one pass."""
        found: dict[str, set[str]] = {}
        for key in self._names:
            above = key.rpartition("/")[0]
            while above:
                above, _, name = above.rpartition("/")
                siblings = found.setdefault(above, set())
                if name in siblings:
                    break
                siblings.add(name)
        return found

    def has(self, key: str) -> bool:
        """Whether there is a file."""
        return self._read(key) is not None

    def _third(self, path: str) -> Node | None:
        metadata = self._json(path, "zarr.json")
        if metadata is None:
            return None
        kind, form = metadata.get("node_type"), metadata.get("zarr_format")
        if kind not in ("array", "group") or form != 3:
            raise Damaged(f"zarr.json has node_type {kind!r} and zarr_format {form!r}")
        return Node(path, kind, 3, _attributes(metadata.get("attributes", {})), metadata)

    def _second(self, path: str) -> Node | None:
        array = self._json(path, ".zarray")
        group = self._json(path, ".zgroup") if array is None else None
        if array is None and group is None:
            return None
        attributes = _attributes(self._json(path, ".zattrs") or {})
        return Node(path, "group" if array is None else "array", 2, attributes, array or {})

    def _json(self, path: str, name: str) -> Mapping[str, Any] | None:
        data = self._read(f"{path}/{name}" if path else name)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"{name} is not JSON: {error}") from error
        if not isinstance(value, Mapping):
            raise Damaged(f"{name} is not a JSON object")
        return value

    def _read(self, key: str) -> bytes | None:
        """A small file; None if it is not there."""
        if self.location.kind == "file":
            try:
                with open(os.path.join(self.location.base, key), "rb") as file:
                    return file.read()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            except OSError as error:
                raise Damaged(f"{key} cannot be read: {error.strerror}") from error
        if self._archive is not None:
            try:
                return self._archive.read(self._prefix + key)
            except KeyError:
                return None
            except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
                raise Damaged(f"{key} cannot be read from the zip file: {error}") from error
        from obstore.exceptions import BaseError, PermissionDeniedError

        try:
            return bytes(self._store.get(self._prefix + key).bytes())
        except (FileNotFoundError, PermissionDeniedError):
            return None  # a bucket that cannot be listed forbids what is not there
        except BaseError as error:
            raise DataError(
                f"{self.location.url} cannot be reached: {reason_text(error)}"
            ) from error


def _attributes(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Damaged("its attributes are not a JSON object")
    return value


def below(*parts: str) -> str:
    """A path inside the store, of parts that may be empty."""
    return "/".join(part for part in parts if part)
