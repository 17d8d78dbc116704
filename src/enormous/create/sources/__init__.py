"""What can be converted, one module a family of formats, and how it is told what is there.

Called by :mod:`enormous.create.convert`. `open_source` reads headers alone and describes;
`open_reader` reads voxels of what was described, in whichever process.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from enormous.create.sources import _formats
from enormous.create.sources.source import Reader, Source
from enormous.errors import DataError, UsageError

if TYPE_CHECKING:
    from enormous.stores import Location

__all__ = ["Reader", "Source", "check_asked", "open_reader", "open_source"]

_INSIDE = re.compile(r"(?P<file>.+\.(?:h5|hdf5|hdf|he5|nxs|ims)):(?P<dataset>/?.+)", re.I)


def open_source(
    url: str | os.PathLike[str] | Location | Sequence[str | os.PathLike[str]],
    *,
    dataset: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: str | None = None,
    order: str | None = None,
    axes: str | None = None,
    offset: int = 0,
) -> Source:
    """Look at an input and say what is there; no voxel is read.

    Parameters
    ----------
    url : str, path-like, Location, or sequence of paths
        A folder or glob of slices, a list of slices in their order, a file, or anything with
        Zarr in it. ``FILE.h5:/PATH`` names a dataset.
    dataset : str, optional
        Which array of an HDF5 file or Zarr group.
    shape, dtype : optional
        Of raw voxels: slowest axis first, and a name such as ``uint16``.
    order : {"little", "big"}, optional
        Byte order of raw voxels; little by default.
    axes : str, optional
        A letter of ``tczyx`` for each axis in the order in which they are stored, where the
        file does not say or is wrong.
    offset : int
        Bytes before the first raw voxel.

    Returns
    -------
    Source

    Raises
    ------
    UsageError
        If nothing is there, if it is of a kind that is not read (it says what to use), or if
        the file leaves open what was meant.
    DataError
        If a file is damaged, truncated or unlike the others: it is named.
    MissingExtra
        If the package that reads it is not installed.
    """
    if isinstance(url, Sequence) and not isinstance(url, str):
        return _open_list([os.path.abspath(path) for path in url], axes)
    text = _text(url)
    if shape is not None or dtype is not None or order is not None or offset:
        from enormous.create.sources.raw import open_raw

        path = os.path.abspath(text)
        return open_raw(path, shape=shape, dtype=dtype, order=order, axes=axes, offset=offset)
    remote = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text)
    if not remote and not os.path.exists(text):
        inside = _INSIDE.fullmatch(text)
        if inside and dataset is None:
            text, dataset = inside["file"], inside["dataset"]
        elif any(mark in text for mark in "*?["):
            return _open_glob(os.path.abspath(text), axes)
    if remote or _is_zarr(text):
        return _open_zarr(url if remote else text, dataset, axes)
    path = os.path.abspath(text)
    if dataset is not None and _formats.suffix(path) not in (*_formats.HDF5, ".ims"):
        raise UsageError(f"{path}: a dataset is named in HDF5 files and Zarr groups only")
    if os.path.isdir(path):
        return _open_folder(path, axes)
    return _open_file(path, dataset, axes)


def check_asked(
    *,
    axes: str | None,
    shape: Sequence[int] | None,
    dtype: str | None,
    order: str | None,
    offset: int,
) -> None:
    """Refuse what no input could make right, without looking at one; as for `open_source`.

    Raises
    ------
    UsageError
    """
    if axes is not None:
        from enormous.create.sources._layout import check_letters

        check_letters(axes)
    if shape is not None or dtype is not None or order is not None or offset:
        from enormous.create.sources.raw import check_raw

        check_raw(shape, dtype, order, offset)


def open_reader(source: Source, workers: int = 1) -> Reader:
    """Get ready to read voxels.

    Parameters
    ----------
    source : Source
        As `open_source` gave it, in this process or another.
    workers : int
        Threads that one call of ``read`` may use. The reader may be used by several threads
        at once; they share these.

    Raises
    ------
    DataError
        If the input has changed since it was looked at.
    """
    reader: Reader = source.detail.open(source, max(1, workers))
    return reader


def _text(url: str | os.PathLike[str] | Location) -> str:
    if not isinstance(url, str | os.PathLike):
        return url.url
    text = os.fspath(url)
    if text.lower().startswith("file://"):
        from enormous.stores import locate

        return locate(text).url
    return os.path.expanduser(text)


def _is_zarr(path: str) -> bool:
    from enormous.ledger import NODE_NAMES
    from enormous.stores import locate

    location = locate(path)
    if location.kind == "zip":
        return True
    if any(os.path.isfile(os.path.join(path, name)) for name in NODE_NAMES):
        return True
    return _formats.suffix(path) == ".zarr" and not os.path.isfile(path)


def _open_zarr(
    url: str | os.PathLike[str] | Location, dataset: str | None, axes: str | None
) -> Source:
    from enormous.create.sources.zarr import open_zarr

    text = _text(url)
    what = _formats.suffix(text)
    if what in (*_formats.FILES, *_formats.OTHERS) and what != ".zip":
        raise UsageError(f"{text}: only Zarr is read over HTTP or from memory; download it first")
    return open_zarr(text if isinstance(url, os.PathLike) else url, dataset=dataset, axes=axes)


def _open_list(paths: list[str], axes: str | None) -> Source:
    if not paths:
        raise UsageError("the list of slices is empty; give the files in their order")
    from enormous.create.sources.slices import open_slices

    if len(paths) == 1:
        return _open_only(paths[0], paths[0], axes)
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    return open_slices(paths, folder, ordered=True, axes=axes)


def _open_glob(pattern: str, axes: str | None) -> Source:
    from enormous.create.sources.slices import is_there, open_slices

    paths = [path for path in glob.glob(pattern, recursive=True) if is_there(path)]
    if not paths:
        folder = os.path.dirname(pattern)
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise DataError(f"{folder} cannot be read: permission denied")
        raise UsageError(f"{pattern} matches no file: check the path, and quote the pattern")
    if len(paths) == 1:
        return _open_only(paths[0], pattern, axes)
    return open_slices(paths, pattern, axes=axes)


def _open_folder(path: str, axes: str | None) -> Source:
    from enormous.create.sources.slices import find_slices, open_slices

    paths = find_slices(path)
    if len(paths) == 1:
        return _open_only(paths[0], path, axes)
    return open_slices(paths, path, axes=axes)


def _open_only(path: str, where: str, axes: str | None) -> Source:
    """The only file of a folder, glob or list: a stack in itself, or a stack of one slice."""
    what = _formats.suffix(path)
    if what in _formats.TIFF:
        from enormous.create.sources.tiff import open_tiff

        return open_tiff(path, axes=axes, stack=True)
    if what in (*_formats.PNG, *_formats.JPEG2000):
        from enormous.create.sources.slices import open_slices

        return open_slices([path], where, ordered=True, axes=axes, stack=axes is None)
    return _open_file(path, None, axes)


def _open_file(path: str, dataset: str | None, axes: str | None) -> Source:
    what = _formats.suffix(path)
    if what in _formats.TIFF:
        from enormous.create.sources.tiff import open_tiff

        return open_tiff(path, axes=axes)
    if what in (*_formats.PNG, *_formats.JPEG2000):
        from enormous.create.sources.slices import open_slices

        return open_slices([path], path, axes=axes)
    if what in _formats.NPY:
        from enormous.create.sources.numpy import open_npy

        return open_npy(path, axes=axes)
    if what in _formats.HDF5 or (what == ".ims" and dataset is not None):
        from enormous.create.sources.hdf5 import open_hdf5

        return open_hdf5(path, dataset=dataset, axes=axes)
    if what in _formats.NIFTI:
        from enormous.create.sources.nifti import open_nifti

        return open_nifti(path, axes=axes)
    raise _refusal(path)


def _refusal(path: str) -> UsageError:
    if not os.path.lexists(path):
        return UsageError(f"{path} does not exist: check the path")
    if _formats.suffix(path) in _formats.RAW:
        return UsageError(
            f"{path} has no header, so its shape (Z,Y,X) and its dtype (such as uint16) must be "
            "given"
        )
    advice = _formats.advice(path)
    if advice:
        return UsageError(f"{path} is {advice}")
    return UsageError(f"{path} is of no kind that is read; {_formats.READABLE}")
