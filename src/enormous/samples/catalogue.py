"""What the three samples are: names, field of view, sizes and voxel sizes.

Pure facts and arithmetic, nothing is generated here. Called by the generators'
front (:mod:`enormous.samples.blocks`), by the writer and by the lessons.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from enormous.errors import UsageError
from enormous.grid import Shape

#: Longest edge of each size, in voxels. The proportions are those of ``full``.
SIZES: dict[str, int] = {"tiny": 64, "small": 200, "full": 806}

_FULL: Shape = (806, 629, 629)
_CITATION = "Zarr benchmarks for 3D images, data set: https://doi.org/10.5281/zenodo.15544055"


@dataclass(frozen=True)
class Sample:
    """One of the three scans.

    Parameters
    ----------
    name : str
        ``heart``, ``dense`` or ``sparse``.
    kind : {"image", "labels"}
        Grey levels, or one number for each object.
    dtype : str
    full_shape : tuple of int
        Size of the published scan, in voxels.
    full_voxel_size : tuple of float
        Its voxel size, in micrometres.
    shows : str
        What is to be seen.
    citation : str
        Of the published scan that this one is a twin of.
    """

    name: str
    kind: Literal["image", "labels"]
    dtype: str
    full_shape: Shape
    full_voxel_size: tuple[float, float, float]
    shows: str
    citation: str

    @property
    def field_of_view(self) -> tuple[float, float, float]:
        """Physical size along z, y and x, in micrometres: the same for every shape."""
        z, y, x = (n * v for n, v in zip(self.full_shape, self.full_voxel_size, strict=True))
        return (z, y, x)


_SAMPLES = {
    sample.name: sample
    for sample in (
        Sample(
            "heart",
            "image",
            "uint16",
            _FULL,
            (200.64, 200.64, 200.64),
            "a human heart by hierarchical phase-contrast tomography: grey levels, detector noise",
            _CITATION,
        ),
        Sample(
            "dense",
            "labels",
            "uint16",
            _FULL,
            (0.033, 0.032, 0.032),
            "human cortex by electron microscopy, segmented: every voxel belongs to a neuron",
            _CITATION,
        ),
        Sample(
            "sparse",
            "labels",
            "uint16",
            _FULL,
            (0.033, 0.032, 0.032),
            "human cortex by electron microscopy: a few proofread neurons, the rest background",
            _CITATION,
        ),
    )
}

NAMES: tuple[str, ...] = tuple(_SAMPLES)


def describe(name: str) -> Sample:
    """The facts about a sample.

    Raises
    ------
    UsageError
        If there is no sample of that name.
    """
    if name not in _SAMPLES:
        near = difflib.get_close_matches(str(name).lower(), NAMES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown sample {name!r}; {hint}the samples are {', '.join(NAMES)}")
    return _SAMPLES[name]


def shape_of(name: str, size: str = "small", shape: Sequence[int] | None = None) -> Shape:
    """Shape of a sample, ``z, y, x`` in voxels.

    Parameters
    ----------
    name : str
    size : {"tiny", "small", "full"}
        Longest edge of 64, 200 or 806 voxels.
    shape : sequence of int, optional
        Any other; then `size` does not matter.

    Raises
    ------
    UsageError
        If the name or size is unknown, or the shape is not three sizes of 1 or more.
    """
    sample = describe(name)
    if shape is not None:
        given = integers(shape, "shape")
        if len(given) != 3 or any(n < 1 for n in given):
            raise UsageError(f"shape {given} will not do; give three sizes of 1 or more: Z,Y,X")
        return given
    if size not in SIZES:
        raise UsageError(f"unknown size {size!r}; use one of {', '.join(SIZES)}, or give a shape")
    return tuple(round(n * SIZES[size] / max(sample.full_shape)) for n in sample.full_shape)


def integers(numbers: Sequence[int], what: str) -> tuple[int, ...]:
    """Whole numbers as Python's own; what is not one is refused, never rounded.

    Raises
    ------
    UsageError
    """
    try:
        return tuple(operator.index(n) for n in numbers)
    except TypeError as error:
        raise UsageError(
            f"{what} {numbers!r} will not do; give three whole numbers: Z,Y,X"
        ) from error


def voxel_size(name: str, shape: Sequence[int]) -> tuple[float, float, float]:
    """Voxel size in micrometres, ``z, y, x``, of a sample with that shape."""
    z, y, x = (
        fov / n
        for fov, n in zip(describe(name).field_of_view, shape_of(name, shape=shape), strict=True)
    )
    return (z, y, x)
