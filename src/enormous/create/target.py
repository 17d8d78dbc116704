"""The arrays that are being written: what all levels of one image have in common.

Made by the planners of `create`, used by the block functions and by what writes the
metadata. Array metadata is zarr's own, written before the first block: each file
atomically, and the same bytes whoever writes it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enormous.codecs import Codec, ZarrFormat
from enormous.engine.work import Work
from enormous.grid import Shape
from enormous.ome.pyramid import Level
from enormous.shardfile import is_partial, write_object

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Target:
    """What is written, to the last byte.

    Parameters
    ----------
    levels : tuple of Level
        All of the image, finest first; those that are there already too.
    dtype : str
        As numpy names it: ``uint16``.
    codec : Codec
    method : str
        How each level is made of the stored one above it: one of `kernels.METHODS`.
    zarr_format : {2, 3}
    fill_value : number
        What an empty chunk, which is not stored, consists of; edge chunks are padded with it.
    dimension_names : tuple of str, optional
        Zarr v3 only.
    key_encoding : str
        ``default`` (c/0/0/0) or ``v2`` (0/0/0); always the latter in Zarr v2.
    separator : str
        ``/`` or ``.``.
    """

    levels: tuple[Level, ...]
    dtype: str
    codec: Codec
    method: str
    zarr_format: ZarrFormat = 3
    fill_value: float | int | bool = 0
    dimension_names: tuple[str, ...] | None = None
    key_encoding: str = "default"
    separator: str = "/"

    @property
    def itemsize(self) -> int:
        """Bytes of one voxel."""
        return np.dtype(self.dtype).itemsize

    def key(self, folder: Path, level: int, index: Shape) -> Path:
        """File of one shard or chunk."""
        name = self.separator.join(map(str, index))
        if self.key_encoding == "default":
            name = f"c{self.separator}{name}"
        return folder / self.levels[level].path / name

    def array_files(self, level: int) -> Mapping[str, bytes]:
        """The metadata files of one level's array, by name."""
        import zarr
        from zarr.storage import MemoryStore

        grid = self.levels[level].grid
        files: dict[str, Any] = {}
        v3 = self.zarr_format == 3
        zarr.create_array(
            MemoryStore(files),
            shape=grid.shape,
            dtype=self.dtype,
            chunks=grid.chunks,
            shards=grid.shards,
            compressors=self.codec.zarr(self.zarr_format, self.itemsize),
            filters=None,
            fill_value=self.fill_value,
            zarr_format=self.zarr_format,
            dimension_names=self.dimension_names if v3 else None,
            chunk_key_encoding={
                "name": self.key_encoding if v3 else "v2",
                "separator": self.separator,
            },
        )
        return {name: data.to_bytes() for name, data in files.items()}


def write_arrays(folder: Path, target: Target, levels: range) -> None:
    """Write the metadata of some levels' arrays."""
    for level in levels:
        for name, data in target.array_files(level).items():
            write_object(folder / target.levels[level].path / name, data)


def write_group(folder: Path, zarr_format: ZarrFormat, attributes: Mapping[str, Any]) -> None:
    """Write the metadata of a group, which makes a folder an image; its last file last."""
    import zarr
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    zarr.create_group(MemoryStore(files), zarr_format=zarr_format, attributes=dict(attributes))
    for name in sorted(files):  # .zattrs before .zgroup
        write_object(folder / name, files[name].to_bytes())


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed have left among the objects of an image."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if is_partial(name):
                os.unlink(os.path.join(parent, name))


def stored_level(work: Work, target: Target, level: int) -> Any:
    """A level that earlier blocks have written, as a tensorstore that is open for reading."""
    folder = work.folder / target.levels[level].path
    return work.kept(
        ("level", level), lambda: open_tensorstore(folder, target.zarr_format, work.workers)
    )


def open_tensorstore(folder: Path, zarr_format: int, workers: int) -> Any:
    """Open an array on disk for reading, with as many threads as a run may use."""
    import tensorstore as ts

    context = ts.Context(
        {
            "data_copy_concurrency": {"limit": workers},
            "file_io_concurrency": {"limit": workers},
            "cache_pool": {"total_bytes_limit": 0},
        }
    )
    spec = {
        "driver": "zarr3" if zarr_format == 3 else "zarr",
        "kvstore": {"driver": "file", "path": folder.as_posix() + "/"},
    }
    return ts.open(spec, open=True, read=True, context=context).result()
