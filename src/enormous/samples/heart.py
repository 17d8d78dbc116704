"""The heart sample: a twin of a human heart scanned by HiP-CT, made block by block.

Called by ``enormous sample heart`` and by every chapter that needs a grey
image. Any shape shows the same field of view (161.7 x 126.2 x 126.2 mm), and
any block is made alone, bit for bit what it is in the whole. The ground truth
is known: :func:`truth` and :func:`mask`.

How it is made: :mod:`~enormous.samples.heart_anatomy` says where chambers,
walls and vessels are, :mod:`~enormous.samples.heart_vessels` grows the
coronary trees, :mod:`~enormous.samples.heart_kernels` draws both into a tile,
and :mod:`~enormous.samples.heart_develop` turns the tile into grey levels.
The module imports numba: import it only where a sample is made.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError
from enormous.samples import heart_develop as grey
from enormous.samples import heart_kernels as draw
from enormous.samples._field import centres, lattice_step
from enormous.samples.heart_anatomy import FOV_MM, FOV_RADIUS_MM
from enormous.samples.heart_scene import (
    AXIS_MM,
    BINS,
    BLUR_MM,
    FASCICLE_VOXEL_MM,
    NOISE_SIGMA,
    REACH_MM,
    RING_PITCH_MM,
    SHAPES,
    SLAB_MM,
    THINNEST_VESSEL,
    TILE,
    Scene,
    Triple,
    levels_of,
    noise_key,
    rings_of,
    scene_of,
    spheres_of,
)
from enormous.samples.heart_truth import Truth, truth
from enormous.samples.heart_vessels import END_RADIUS_MM, VESSEL_WALL_MM

__all__ = ["DTYPE", "SHAPES", "Truth", "block", "mask", "truth", "vessel_labels"]

DTYPE = np.dtype("uint16")


def _check_shape(shape: Sequence[int]) -> Triple:
    if len(shape) != 3 or any(int(n) < 1 for n in shape):
        raise UsageError(f"heart: shape {tuple(shape)} is not three positive sizes; give Z, Y, X")
    return int(shape[0]), int(shape[1]), int(shape[2])


def _check_block(
    shape: Sequence[int], origin: Sequence[int], size: Sequence[int]
) -> tuple[Triple, Triple, Triple]:
    whole = _check_shape(shape)
    if len(origin) != 3 or len(size) != 3:
        raise UsageError("heart: origin and size need three numbers each; give Z, Y, X")
    first = (int(origin[0]), int(origin[1]), int(origin[2]))
    extent = (int(size[0]), int(size[1]), int(size[2]))
    for o, s, n in zip(first, extent, whole, strict=True):
        if o < 0 or s < 1 or o + s > n:
            raise UsageError(
                f"heart: block {extent} at {first} does not lie within {whole}; "
                "choose origin and size inside the shape"
            )
    return whole, first, extent


class _Tile:
    """A piece of an image small enough to be held in floats."""

    def __init__(self, scene: Scene, shape: Triple, origin: Triple, size: Triple) -> None:
        self.scene, self.shape, self.origin, self.size = scene, shape, origin, size
        self.zs, self.ys, self.xs = (
            centres(shape[a], origin[a], size[a], FOV_MM[a]) for a in range(3)
        )
        y, x = self.ys - AXIS_MM[0], self.xs - AXIS_MM[1]
        distance = np.sqrt((y * y)[:, None] + (x * x)[None, :])
        self.radius = distance.astype(np.float32)
        self.inside = distance < FOV_RADIUS_MM
        self.voxel = sum(FOV_MM[a] / shape[a] for a in range(3)) / 3.0
        self.edge = max(self.voxel, BLUR_MM)

    def fields(
        self,
    ) -> tuple[
        NDArray[np.float32], tuple[NDArray[np.generic], ...], tuple[NDArray[np.generic], ...]
    ]:
        """Return the smooth fields, wide along x, and how to interpolate planes and rows."""
        nodes, shares = [], []
        for a in range(3):
            step = lattice_step(self.shape[a], FOV_MM[a], draw.LATTICE_MM)
            index = np.arange(self.origin[a], self.origin[a] + self.size[a], dtype=np.int64)
            first = self.origin[a] // step
            last = (self.origin[a] + self.size[a] - 1) // step + 1
            place = np.arange(first, last + 1, dtype=np.int64) * step
            nodes.append((place.astype(np.float64) + 0.5) / self.shape[a] * FOV_MM[a])
            share = (index % step).astype(np.float64) / step
            shares.append((index // step - first, share.astype(np.float32)))
        lattice = draw.lattice(self.scene.key, self.scene.found, *nodes, AXIS_MM, REACH_MM)
        return draw.widen(lattice, *shares[2]), shares[0], shares[1]

    def vessels(
        self, margin: float, thinnest: float = 0.0, labels: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the distance to the nearest vessel and, where wanted, its label.

        The distance (mm) is at most `margin`; vessels with a radius under
        `thinnest` (mm) are left out.
        """
        distance = np.full(self.size, margin, np.float32)
        nearest = np.zeros(self.size if labels else (0, 0, 0), np.int32)
        table, label = self.scene.table, self.scene.vessels.label
        if thinnest > END_RADIUS_MM:
            wide = table[:, 3] >= thinnest
            table, label = table[wide], label[wide]
        draw.draw_vessels(table, label, self.zs, self.ys, self.xs, margin, distance, nearest)
        return distance, nearest

    def clean(self, channel: int, time: int) -> NDArray[np.float32]:
        """Return the image before the scanner adds anything (grey levels)."""
        fields, planes, rows = self.fields()
        margin = VESSEL_WALL_MM + self.edge
        distance, _ = self.vessels(margin, THINNEST_VESSEL * self.voxel)
        texture = np.zeros(self.size, np.float32)
        if self.voxel < FASCICLE_VOXEL_MM:
            start, table = self.scene.wall_texture()
            draw.draw_fascicles(start, table, BINS, self.zs, self.ys, self.xs, self.voxel, texture)
        image: NDArray[np.float32] = grey.compose(
            fields, planes, rows, distance, texture, self.radius, levels_of(channel, time),
            np.float32(self.edge),
        )  # fmt: skip
        spheres = spheres_of(self.scene.seed, channel)
        grey.paint_spheres(spheres, self.zs, self.ys, self.xs, self.edge, image)
        return image

    def develop(
        self, image: NDArray[np.float32], channel: int, time: int, noise: bool,
        out: NDArray[np.uint16],
    ) -> None:  # fmt: skip
        """Add noise and rings (where wanted), round, and write into `out`."""
        group = max(1, round(self.voxel / RING_PITCH_MM))
        rings = rings_of(self.scene.seed, channel, group)
        at = self.radius * np.float32(1.0 / (RING_PITCH_MM * group))
        ring = np.minimum(at.astype(np.int32), np.int32(rings.shape[1] - 2))
        slabs = np.minimum((self.zs / SLAB_MM).astype(np.int64), rings.shape[0] - 1)
        gain = NOISE_SIGMA / grey.NOISE_UNIT if noise else 0.0
        if not noise:
            rings = np.zeros_like(rings)
        grey.develop(
            image, noise_key(self.scene.seed, channel, time), self.origin,
            np.float32(gain), rings, slabs, ring, at - ring.astype(np.float32), self.inside, out,
        )  # fmt: skip


def _tiles(origin: Triple, size: Triple) -> list[tuple[Triple, Triple, tuple[slice, ...]]]:
    """Cut a block into tiles: origin, size, and place within the block."""
    steps = [range(0, size[a], TILE[a]) for a in range(3)]
    tiles = []
    for z, y, x in product(*steps):
        extent = (
            min(TILE[0], size[0] - z), min(TILE[1], size[1] - y), min(TILE[2], size[2] - x)
        )  # fmt: skip
        place = tuple(slice(at, at + n) for at, n in zip((z, y, x), extent, strict=True))
        tiles.append(((origin[0] + z, origin[1] + y, origin[2] + x), extent, place))
    return tiles


def block(
    shape: Sequence[int],
    origin: Sequence[int],
    size: Sequence[int],
    *,
    seed: int = 0,
    noise: bool = True,
    channel: int = 0,
    time: int = 0,
) -> NDArray[np.uint16]:
    """Make one block of an image of the heart.

    Parameters
    ----------
    shape : sequence of 3 int
        Of the whole image (z, y, x); any shape shows the same field of view.
    origin, size : sequence of 3 int
        First voxel and extent of the block.
    seed : int, optional
        Another seed is another heart.
    noise : bool, optional
        False leaves out what the scanner adds: detector noise, ring artefacts
        and the offsets of its scans.
    channel : {0, 1}, optional
        0: phase contrast. 1: contrast agent, bright in the blood.
    time : int, optional
        Time point, 0 or later: the agent washes in, the noise is new, the
        anatomy stays.

    Returns
    -------
    ndarray of uint16, shape `size`
        The same values in every platform's and every chunking's block.

    Raises
    ------
    UsageError
        If the block does not lie within the shape, or there is no such
        channel or time.
    """
    whole, first, extent = _check_block(shape, origin, size)
    if channel not in (0, 1):
        raise UsageError(f"heart: there is no channel {channel}; choose 0 or 1")
    if time < 0:
        raise UsageError(f"heart: there is no time {time}; choose 0 or later")
    scene = scene_of(seed)
    out = np.empty(extent, np.uint16)
    for start, part, place in _tiles(first, extent):
        tile = _Tile(scene, whole, start, part)
        if tile.inside.any():
            tile.develop(tile.clean(channel, time), channel, time, noise, out[place])
        else:
            out[place] = 0
    return out


def mask(
    shape: Sequence[int],
    origin: Sequence[int],
    size: Sequence[int],
    name: str,
    *,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Make one block of the ground truth of one structure: true where a voxel's centre is inside.

    Parameters
    ----------
    shape, origin, size : sequence of 3 int
        As for `block`.
    name : str
        ``fov``: the circle that the scanner reconstructs. ``tissue``: all that
        is solid and bright: muscle, walls of vessels, valves, clotted blood
        (not fat, whose grey is that of the mount). ``myocardium``: the muscle.
        ``vessels``: the lumen of the coronary vessels. ``chambers``: the
        cavities of ventricles and atria. ``clot``: clotted blood. ``fat``.
    seed : int, optional

    Returns
    -------
    ndarray of bool, shape `size`

    Raises
    ------
    UsageError
        If the block does not lie within the shape or the name is unknown.
    """
    whole, first, extent = _check_block(shape, origin, size)
    if name not in grey.MASKS:
        raise UsageError(f"heart: no mask is called {name!r}; choose from {', '.join(grey.MASKS)}")
    scene = scene_of(seed)
    out = np.zeros(extent, np.bool_)
    for start, part, place in _tiles(first, extent):
        tile = _Tile(scene, whole, start, part)
        if name == "fov":
            out[place] = tile.inside
        elif tile.inside.any():
            fields, planes, rows = tile.fields()
            distance, _ = tile.vessels(VESSEL_WALL_MM + tile.edge)
            which = grey.MASKS.index(name)
            grey.classify(fields, planes, rows, distance, tile.inside, which, out[place])
    return out


def vessel_labels(
    shape: Sequence[int], origin: Sequence[int], size: Sequence[int], *, seed: int = 0
) -> NDArray[np.int32]:
    """Make one block of the coronary trees' label image.

    Parameters
    ----------
    shape, origin, size : sequence of 3 int
        As for `block`.
    seed : int, optional

    Returns
    -------
    ndarray of int32, shape `size`
        0 outside; 1 left coronary artery, 2 right coronary artery, 3 great
        cardiac vein, where a voxel's centre lies in the lumen.
    """
    whole, first, extent = _check_block(shape, origin, size)
    scene = scene_of(seed)
    out = np.zeros(extent, np.int32)
    for start, part, place in _tiles(first, extent):
        distance, nearest = _Tile(scene, whole, start, part).vessels(1e-6, labels=True)
        out[place] = np.where(distance < 0, nearest, 0)
    return out
