"""Axes: as a format stores them on one side, as a :class:`Source` presents them on the other.

Called by every module of this package. A format's reader only ever fills boxes in its own
order of axes; here they become ``t, c, z, y, x``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.create.sources.source import Region
from enormous.errors import DataError, UsageError
from enormous.grid import Shape

ORDER = "tczyx"
#: Of a stored axis of one voxel that has no place in an image.
DROPPED = "-"

#: Fills an array, in the stored order of axes, with a box given in that order.
Fill = Callable[[NDArray[Any], Region], None]


@dataclass(frozen=True)
class Layout:
    """Which stored axis is which.

    Parameters
    ----------
    stored : str
        A letter of ``tczyx`` for each stored axis, or ``-`` where it is left out.
    stored_shape : tuple of int
    deep : bool
        There is a `z`, of one voxel if none is stored.
    """

    stored: str
    stored_shape: Shape
    deep: bool = False

    @property
    def axes(self) -> str:
        """As a source presents them: ``z`` is there wherever ``t`` or ``c`` is."""
        letters = set(self.stored) | (
            {"z"} if self.deep or set(self.stored) & {"t", "c"} else set()
        )
        return "".join(letter for letter in ORDER if letter in letters)

    @property
    def shape(self) -> Shape:
        """In voxels, one number for each letter of `axes`."""
        return self.present(self.stored_shape)

    def present(self, sizes: Sequence[int]) -> Shape:
        """Sizes given in the stored order, in the order of `axes`; 1 for an added `z`."""
        known = dict(zip(self.stored, sizes, strict=True))
        return tuple(int(known.get(letter, 1)) for letter in self.axes)

    def read(self, region: Region, dtype: str, fill: Fill) -> NDArray[Any]:
        """Have `fill` write a box, and present it.

        Parameters
        ----------
        region : tuple of slice
            One for each letter of `axes`.
        dtype : str
        fill : callable
            ``fill(out, box)`` with the array and the box in the stored order; `out` need not be
            contiguous.

        Returns
        -------
        ndarray
            C order, shape of `region`.
        """
        bounds = [_bounds(part, n) for part, n in zip(region, self.shape, strict=True)]
        out = np.empty([stop - start for start, stop in bounds], dtype)
        if not out.size:
            return out
        at = dict(zip(self.axes, bounds, strict=True))
        kept = [letter for letter in self.axes if letter in self.stored]
        view = out[tuple(slice(None) if letter in kept else 0 for letter in self.axes)]
        view = view.transpose([kept.index(x) for x in self.stored if x != DROPPED])
        view = view[tuple(None if x == DROPPED else slice(None) for x in self.stored)]
        fill(view, tuple(slice(0, 1) if x == DROPPED else slice(*at[x]) for x in self.stored))
        return out


def _bounds(part: slice, n: int) -> tuple[int, int]:
    start, stop, step = part.indices(n)
    if step != 1:
        raise ValueError(f"step {step}: only whole boxes are read")
    return start, max(start, stop)


def layout(
    stored: str,
    shape: Sequence[int],
    where: str,
    axes: str | None = None,
    *,
    keep: bool = False,
    deep: bool = False,
) -> Layout:
    """Make sense of a format's axes.

    Parameters
    ----------
    stored : str
        What the format says, a letter an axis in any case; ``""`` if it says nothing. An axis
        that is unknown (``?`` or a letter beyond ``tczyx``) is left out if it has one voxel,
        and taken as `z` if it is the only one and no other is `z`.
    shape : sequence of int
    where : str
        For messages.
    axes : str, optional
        What the person says instead.
    keep : bool
        Keep axes of one voxel that are named; else only z, y and x may have one: a stack of
        one slice is a stack.
    deep : bool
        Add a `z` of one voxel where there is none, and `axes` do not say otherwise.

    Raises
    ------
    UsageError
        If the axes are not clear: it says what to give.
    DataError
        If there is nothing in it.
    """
    shape = tuple(int(n) for n in shape)
    if 0 in shape or not shape:
        raise DataError(f"{where} holds no voxels: its shape is {shape_text(shape) or 'empty'}")
    if axes is not None:
        return Layout(_asked(axes, shape, where), shape)
    letters = stored.lower() or _by_number(shape, where)
    letters = "".join(
        DROPPED if n == 1 and x not in (ORDER if keep else "zyx") else x
        for x, n in zip(letters, shape, strict=True)
    )
    unknown = [x for x in letters if x not in ORDER + DROPPED]
    if len(unknown) == 1 and "z" not in letters:
        letters = letters.replace(unknown[0], "z")
        unknown = []
    if unknown or not _fit(letters):
        raise UsageError(
            f"{where} is {shape_text(shape)} with axes {stored.upper()}: say what they are with "
            f"axes (--axes), a letter of t, c, z, y, x for each"
        )
    return Layout(letters, shape, deep)


def _fit(letters: str) -> bool:
    named = letters.replace(DROPPED, "")
    return len(set(named)) == len(named) and {"y", "x"} <= set(named)


def _by_number(shape: Shape, where: str) -> str:
    """The axes of an array that does not name them."""
    usual = {2: "yx", 3: "zyx", 5: "tczyx"}
    if len(shape) in usual:
        return usual[len(shape)]
    if len(shape) == 4:
        raise UsageError(
            f"{where} is {shape_text(shape)} and does not name its axes: say which the first is "
            "with axes (--axes) czyx or tzyx"
        )
    raise UsageError(
        f"{where} is {shape_text(shape) or 'a single number'}: an image has 2 to 5 axes; "
        "choose other data"
    )


def _asked(axes: str, shape: Shape, where: str) -> str:
    letters = axes.lower()
    if len(letters) != len(shape):
        raise UsageError(
            f"axes {axes!r} name {len(letters)} axes but {where} has {len(shape)} "
            f"({shape_text(shape)}); give one letter for each"
        )
    check_letters(axes)
    return letters


def check_letters(axes: str) -> None:
    """Refuse axes that no array has.

    Raises
    ------
    UsageError
    """
    letters = axes.lower()
    if set(letters) - set(ORDER) or not _fit(letters):
        raise UsageError(f"axes {axes!r}: give y, x and any of t, c, z, each once")


def native_dtype(dtype: Any, where: str) -> str:
    """Name of a dtype as a source gives it, native byte order.

    Raises
    ------
    DataError
        If it is none that an image of ours can have.
    """
    known = np.dtype(dtype)
    if known.kind in "bui" or (known.kind == "f" and known.itemsize <= 8):
        return str(known.newbyteorder("=").name)
    kinds = {"c": "complex numbers", "V": "records of several fields", "f": "extended floats"}
    what = kinds.get(known.kind, f"{known.name} values")
    raise DataError(f"{where} holds {what}: save it as whole or floating-point numbers first")
