"""What lies in an input, known from its headers alone, and how its voxels are read.

Made by the modules beside this one, used by :mod:`enormous.create.convert`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from enormous.grid import Shape

Region = tuple[slice, ...]

#: Among what is kept: the size of a pixel, where the distance of planes is not known.
PIXEL_ONLY = "pixel size (the distance of planes is not given)"


@dataclass(frozen=True)
class Source:
    """An input, described.

    Parameters
    ----------
    url : str
        Absolute path or URL, as a person can paste it back.
    kind : str
        What it is, in words: ``folder of TIFF slices``.
    shape : tuple of int
        In voxels, one number for each letter of `axes`.
    dtype : str
        As numpy names it, native byte order: ``uint16``.
    axes : str
        ``yx``, or ``zyx`` with ``c``, or ``t`` and ``c``, before it. ``yx`` is what a file of two
        axes has; a folder, glob or list of one slice, a time point and a channel have a `z` of
        one voxel.
    natural : tuple of int
        What is read at once, in voxels: a slice, a chunk.
    detail : object
        A frozen dataclass with what the reader needs: names of files, offsets.
    voxel_size : tuple of float, optional
        Of the spatial axes, in `unit`; None where the file does not say. Never invented.
    unit : str, optional
        As OME-Zarr spells it: ``micrometer``.
    interval : tuple of (float, str), optional
        Time between time points, with its unit.
    channels : tuple of str
        Names, where the file has them.
    kept : tuple of pairs of str
        Further facts of the file worth keeping as provenance: scanner, date.
    """

    url: str
    kind: str
    shape: Shape
    dtype: str
    axes: str
    natural: Shape
    detail: Any
    voxel_size: tuple[float, ...] | None = None
    unit: str | None = None
    interval: tuple[float, str] | None = None
    channels: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


class Reader(Protocol):
    """Reads voxels of one source; one for each process, used by several threads."""

    def read(self, region: Region) -> NDArray[Any]:
        """Voxels of `region` (slices with start and stop, step 1), dtype of the source.

        Raises
        ------
        DataError
            One line that names the file which is missing, truncated or changed.
        """

    def close(self) -> None:
        """Let go of open files."""
