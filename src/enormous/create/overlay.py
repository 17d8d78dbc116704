"""Whether labels lie over their image: voxel size, extent and levels follow those it has.

Called by :mod:`enormous.create.convert` for a label image that goes into an image. Reads the
image's metadata once; the rest is arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from enormous.create.scale import Scale, scale_of
from enormous.create.sources._units import in_one_unit, is_length, unit_name
from enormous.create.sources.source import Source
from enormous.errors import DataError, UsageError
from enormous.ome.metadata import VERSIONS
from enormous.ome.pyramid import Factors, Level
from enormous.ome.read import Image, StoredLevel

Make = Callable[[int, Factors], tuple[Level, ...]]

#: Lengths are stored as decimal fractions: this much more, relative, is no difference.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Overlay:
    """The image that labels go into.

    Parameters
    ----------
    image : str
        Its folder.
    zarr_format : {2, 3}
    axes : str
        A letter for each axis, as its metadata names it.
    unit : str or None
        Of its spatial axes; None where it is not known.
    time_unit : str or None
    scale, translation : tuple of float
        Of level 0, one for each axis, the spatial ones in `unit`.
    levels : tuple of StoredLevel
    """

    image: str
    zarr_format: int
    axes: str
    unit: str | None
    time_unit: str | None
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    levels: tuple[StoredLevel, ...]

    def format(self, asked: int | None) -> int:
        """The Zarr format of labels: the image's.

        Raises
        ------
        UsageError
            If another was asked for.
        """
        if asked not in (None, self.zarr_format):
            raise UsageError(
                f"{self.image} is Zarr format {self.zarr_format}, and so are its labels: leave out "
                f"the format {asked}"
            )
        return self.zarr_format

    def scale_of(
        self, source: Source, voxel_size: float | Sequence[float] | None, unit: str | None
    ) -> Scale:
        """Voxel size of the labels in the image's unit, once it is sure that they fit.

        Parameters
        ----------
        source : Source
        voxel_size : float or sequence of float, optional
            By default what the source says; where it says nothing, the image's.
        unit : str, optional
            Of `voxel_size`; by default the image's.

        Raises
        ------
        UsageError
            If the axes are not those of the image, lengths cannot be compared, or the labels
            cover another extent.
        """
        self._check_axes(source)
        letters = [letter for letter in source.axes if letter in "zyx"]
        silent = voxel_size is None and source.voxel_size is None
        own = tuple(self.scale[self.axes.index(letter)] for letter in letters)
        assumed = replace(source, url=self.image, voxel_size=own, unit=self.unit)
        in_ours = voxel_size is not None and unit is None
        found = scale_of(assumed if silent else source, voxel_size, self.unit if in_ours else unit)
        size = found.spacing[-len(letters) :]
        if not in_ours:
            size = self._in_our_unit(size, found.unit, source)
        time = (self._along("t"), self.time_unit)
        if source.interval is not None:
            time = source.interval
        before = {"t": time[0], "c": self._along("c")}
        ahead = [before[letter] for letter in source.axes if letter in before]
        self._check_extent(source, (*ahead, *size))
        return Scale((*ahead, *size), self.unit, time[1], found.warnings)

    def levels_of(
        self, axes: str, count: int | None, factors: Factors, make: Make
    ) -> tuple[Level, ...]:
        """As many levels as the image has, over them; halved alike where nothing else is asked.

        Parameters
        ----------
        axes : str
            Of the labels.
        count : int, optional
        factors : "auto" or sequence of int
        make : callable
            ``make(count, factors)`` makes levels that begin at the origin.

        Raises
        ------
        UsageError
            If another number was asked for.
        """
        if count not in (None, len(self.levels)):
            raise UsageError(
                f"{self.image} has {len(self.levels)} levels, and labels must have as many: leave "
                f"out the number {count}"
            )
        made = make(len(self.levels), factors)
        own = self._halved(len(made[0].grid.shape))
        if factors == "auto" and 2 in own and not self._alike(made):
            forced = make(len(self.levels), own)
            made = forced if self._alike(forced) else made
        return self._placed(made, axes)

    def _placed(self, levels: Sequence[Level], axes: str) -> tuple[Level, ...]:
        """Move levels to where the image lies: the corners of voxel 0 are at one place."""
        moved = []
        for letter, size in zip(axes, levels[0].scale, strict=True):
            at, own = (0.0, size)
            if letter in self.axes:
                number = self.axes.index(letter)
                at, own = self.translation[number], self.scale[number]
            moved.append(at + (size - own) / 2 if letter in "zyx" else at)
        return tuple(
            replace(
                level,
                translation=tuple(a + b for a, b in zip(level.translation, moved, strict=True)),
            )
            for level in levels
        )

    def _along(self, letter: str) -> float:
        return self.scale[self.axes.index(letter)] if letter in self.axes else 1.0

    def _check_axes(self, source: Source) -> None:
        def space(axes: str) -> set[str]:
            return set(axes) & set("zyx")

        shape = self.levels[0].shape
        if space(source.axes) != space(self.axes) or not set(source.axes) <= set(self.axes):
            raise UsageError(
                f"{source.url} has the axes {source.axes}, the image {self.image} has {self.axes}: "
                "labels need the same axes in space, and no others than the image"
            )
        for letter, n in zip(source.axes, source.shape, strict=True):
            steps = shape[self.axes.index(letter)]
            if letter not in "zyx" and n not in (1, steps):
                raise UsageError(
                    f"{source.url} has {n} steps along {letter}, the image {self.image} has "
                    f"{steps}: give as many, or 1"
                )

    def _in_our_unit(
        self, size: tuple[float, ...], unit: str | None, source: Source
    ) -> tuple[float, ...]:
        turned = []
        for length in size:
            both = in_one_unit((length, 1.0), (unit, self.unit))
            if both is None:
                raise UsageError(
                    f"{source.url} has its voxel size {_in(unit)}, the image {self.image} "
                    f"{_in(self.unit)}: give --voxel-size as the image counts, without --unit"
                )
            turned.append(both[0][0])
        return tuple(turned)

    def _check_extent(self, source: Source, spacing: Sequence[float]) -> None:
        """Refuse labels that do not cover the image, or reach beyond it.

        Of coarser voxels the last may reach out, as windows of the image's levels do.
        """
        for letter, n, size in zip(source.axes, source.shape, spacing, strict=True):
            number = self.axes.index(letter)
            n0, size0 = self.levels[0].shape[number], self.scale[number]
            beyond = n * size - n0 * size0
            most = max(size0, size - size0)
            if letter not in "zyx" or -size0 <= beyond / (1 + _ROUNDING) <= most:
                continue
            raise UsageError(
                f"{source.url} covers {n * size:.6g} along {letter} ({n} voxels of {size:g}), the "
                f"image {self.image} {n0 * size0:.6g} ({n0} of {size0:g}): labels lie over the "
                "whole image; check the input, or give its --voxel-size"
            )

    def _halved(self, ndim: int) -> tuple[int, ...]:
        """Which axes the image's first halving halves, for labels of so many axes."""
        if len(self.levels) < 2:
            return (1,) * ndim
        first, second = (level.shape for level in self.levels[:2])
        space = [
            2 if m < n and abs(2 * m - n) <= 1 else 1
            for letter, n, m in zip(self.axes, first, second, strict=True)
            if letter in "zyx"
        ]
        return (*[1] * (ndim - len(space)), *space)

    def _alike(self, made: Sequence[Level]) -> bool:
        """Whether levels have the shapes of the image's, in space."""
        letters = [number for number, letter in enumerate(self.axes) if letter in "zyx"]
        return all(
            level.grid.shape[-len(letters) :] == tuple(stored.shape[n] for n in letters)
            for level, stored in zip(made, self.levels, strict=True)
        )


def read_overlay(image: Path) -> Overlay:
    """Read what labels must know of an image.

    Raises
    ------
    UsageError
        If it is of a version that labels are not written into.
    DataError
        If its metadata is damaged.
    """
    import zarr

    from enormous.ome.inspect import open_node
    from enormous.ome.read import read_images
    from enormous.stores import locate

    location = locate(image)
    node = open_node(location)
    found = read_images(node, location.url)[0] if isinstance(node, zarr.Group) else None
    if found is None or found.levels[0].scale is None or found.levels[0].translation is None:
        raise UsageError(f"{image} does not say how large a voxel is; repair it before its labels")
    zarr_format = found.levels[0].zarr_format
    if found.version not in (VERSIONS[zarr_format], None if zarr_format == 2 else ""):
        raise UsageError(
            f"{image} is OME-Zarr {found.version} in Zarr format {zarr_format}: labels are "
            "written into 0.4 (format 2) and 0.5 (format 3)"
        )
    return _overlay(image, found)


def _overlay(image: Path, found: Image) -> Overlay:
    first = found.levels[0]
    assert first.scale is not None
    assert first.translation is not None
    scale, move = list(first.scale), list(first.translation)
    names = "".join(axis.name.lower() if len(axis.name) == 1 else "?" for axis in found.axes)
    space = [n for n, letter in enumerate(names) if letter in "zyx"]
    units = [_length(found.axes[n].unit) for n in space]
    in_one = in_one_unit([scale[n] for n in space], units)
    moved = in_one_unit([move[n] for n in space], units)
    if in_one is None or moved is None:
        raise DataError(f"{image}: the units of its axes in space cannot be compared: {units}")
    for number, size, at in zip(space, in_one[0], moved[0], strict=True):
        scale[number], move[number] = size, at
    time = found.axes[names.index("t")].unit if "t" in names else None
    return Overlay(
        image=str(image),
        zarr_format=first.zarr_format,
        axes=names,
        unit=in_one[1],
        time_unit=time,
        scale=tuple(scale),
        translation=tuple(move),
        levels=found.levels,
    )


def _length(unit: str | None) -> str | None:
    """A unit of length by its usual name; None for what is none (``pixel``)."""
    known = unit_name(unit)
    return known if is_length(known) else None


def _in(unit: str | None) -> str:
    return f"in {unit}" if unit else "without a unit"
