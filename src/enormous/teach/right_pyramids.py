"""Pyramids that others made, as one thing: arrays with the scale and translation they came with.

Called by the chapter on pyramids that are right, which measures what each call makes:
functions that give one array, libraries that write an image, libraries that keep it in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Halve = Callable[[NDArray[Any]], NDArray[Any]]


class Made(NamedTuple):
    """One level.

    Attributes
    ----------
    array : ndarray
    scale : ndarray of float64
        Voxel size along each axis, as it is said to be.
    translation : ndarray of float64
        Centre of voxel 0 along each axis, as it is said to be; zeros where nothing is said.
    """

    array: NDArray[Any]
    scale: NDArray[np.float64]
    translation: NDArray[np.float64]


def step_by_step(halve: Halve, levels: int = 3) -> Callable[[NDArray[Any]], list[Made]]:
    """Turn a call that makes one level from another into one that makes a pyramid.

    Parameters
    ----------
    halve : callable
        Takes an array, gives the next level. It says nothing about scale and translation, so
        it gets those of a mean of windows of two: doubled each time, and half of what was
        gained.
    levels : int
        Level 0 included.

    Returns
    -------
    callable
        Takes an array, gives a list of `Made`, in voxels of level 0.
    """

    def make(image: NDArray[Any]) -> list[Made]:
        made: list[Made] = []
        for d in range(levels):
            array = image if d == 0 else halve(made[-1].array)
            scale = np.full(image.ndim, 2.0**d)
            made.append(Made(array, scale, (scale - 1) / 2))
        return made

    return make


def written(write: Callable[[str], Any], inside: str = "") -> list[Made]:
    """Let somebody write an OME-Zarr image, and read what is there.

    Parameters
    ----------
    write : callable
        Gets the path of an empty folder, which is gone afterwards.
    inside : str
        Group inside the folder that holds the image; the folder itself by default.

    Returns
    -------
    list of Made
        In the units that were written.
    """
    import zarr

    from enormous.ome.read import read_images

    with tempfile.TemporaryDirectory() as folder:
        write(folder)
        group = zarr.open_group(folder, path=inside, mode="r")
        (image,) = read_images(group)
        made = []
        for level in image.levels:
            array: Any = group[level.path]
            made.append(Made(array[:], np.array(level.scale), np.array(level.translation)))
    return made


def in_memory(multiscales: Any) -> list[Made]:
    """The levels of ngff-zarr's ``to_multiscales``, computed.

    Parameters
    ----------
    multiscales : ngff_zarr.NgffMultiscales

    Returns
    -------
    list of Made
    """
    return [
        Made(
            np.asarray(image.data),
            np.array([image.scale[axis] for axis in image.dims], float),
            np.array([image.translation[axis] for axis in image.dims], float),
        )
        for image in multiscales.images
    ]
