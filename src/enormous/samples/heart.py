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

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError
from enormous.samples import heart_develop as grey
from enormous.samples import heart_kernels as draw
from enormous.samples._field import centres, lattice_step, stream
from enormous.samples.heart_anatomy import FOV_MM, FOV_RADIUS_MM, JAR_RADIUS_MM, anatomy_key
from enormous.samples.heart_vessels import VESSEL_WALL_MM, Vessels, grow

Triple = tuple[int, int, int]

#: Shapes with a name (z, y, x). Voxel sizes: 200.64 um, about 0.81 mm, about 2.5 mm.
SHAPES: dict[str, Triple] = {
    "full": (806, 629, 629),
    "small": (200, 156, 156),
    "tiny": (64, 50, 50),
}
DTYPE = np.dtype("uint16")
#: Standard deviation of the detector noise, in grey levels.
NOISE_SIGMA = 700.0
#: Standard deviation of ring artefacts in grey levels, and their pitch in mm.
RING_SIGMA, RING_PITCH_MM = 110.0, 0.2
#: Height (mm) of one scan of the stack along z; each has its own rings and offset.
SLAB_MM, SLAB_SIGMA = 21.0, 90.0
#: Radius (mm) and depth (grey levels) of the disc that the detector's offset leaves.
DISC_RADIUS_MM, DISC_DEPTH = 27.0, 350.0
#: Blur (mm) of the imaging system: no edge is sharper.
BLUR_MM = 0.25
#: Largest tile that is held in floats: planes, rows, columns.
TILE: Triple = (32, 128, 1024)
#: Grey levels of the phase-contrast channel (0) and the contrast-agent channel (1).
LEVELS: dict[str, tuple[float, float]] = {
    "air": (7000.0, 1500.0),
    "jar": (50000.0, 2500.0),
    "mount": (20000.0, 3000.0),
    "fat": (18800.0, 3200.0),
    "muscle": (30000.0, 4200.0),
    "arterial wall": (32500.0, 4000.0),
    "lumen": (17600.0, 40000.0),
    "clot": (43000.0, 9000.0),
    "leaflet": (31000.0, 4000.0),
    "vessel wall": (32000.0, 4500.0),
    "vessel": (17600.0, 42000.0),
    "membrane": (24500.0, 3200.0),
    "shade": (900.0, 150.0),
    "fibre": (2600.0, 200.0),
}
BEAD_LEVEL, CALCIUM_LEVEL = (58000.0, 3500.0), (60000.0, 5000.0)
BEAD_RADIUS_MM = 2.0
#: Fiducial beads: z, y, x in mm from the top and the axis of rotation.
BEADS_MM = (
    (9.0, 38.0, 28.0),
    (16.0, -42.0, 20.0),
    (24.0, -30.0, -40.0),
    (141.0, 40.0, -27.0),
    (149.0, -14.0, -50.0),
    (146.0, 33.0, 38.0),
)

_AXIS = (0.5 * FOV_MM[1], 0.5 * FOV_MM[2])
_REACH_MM = JAR_RADIUS_MM + 2.0
_BINS: Triple = tuple(  # type: ignore[assignment]
    math.ceil(extent / draw.BIN_MM) for extent in FOV_MM
)
#: Fascicles vanish in voxels (mm) larger than this.
_FASCICLE_VOXEL_MM = 1.3
#: Streams of random numbers (see `_field.stream`): 1 anatomy, 2 trees, then these.
_CALCIUM, _RINGS, _NOISE = 3, 4, 16


@dataclass(frozen=True)
class Truth:
    """What is known about a heart before it is imaged. Lengths in micrometre, axes z, y, x.

    Attributes
    ----------
    field_of_view : tuple of float
        Extent of the image.
    field_of_view_radius : float
        Radius of the circle outside which every voxel is 0.
    landmarks : dict of str to tuple of float
        Positions; the beads are those of `bead_radius`, sub-voxel exact.
    bead_radius : float
    segment_ends : ndarray of float64, shape (n, 2, 3)
        Axes of the coronary vessels' segments.
    segment_radii : ndarray of float64, shape (n, 2)
        Radius of the lumen at either end.
    segment_parent : ndarray of int64, shape (n,)
        Segment that each continues or leaves; -1 where a trunk starts.
    segment_tree : ndarray of int64, shape (n,)
        Label of the tree, 1 to `tree_count`.
    tree_count : int
    volumes : dict of str to float
        Cubic millimetres of the four chambers and of the myocardium, counted
        on voxel centres at `volume_shape`.
    volume_shape : tuple of int
    grey_levels : dict of str to float
        Of the phase-contrast channel.
    noise_sigma : float
        Standard deviation of the detector noise in grey levels.
    """

    field_of_view: tuple[float, float, float]
    field_of_view_radius: float
    landmarks: dict[str, tuple[float, float, float]]
    bead_radius: float
    segment_ends: NDArray[np.float64]
    segment_radii: NDArray[np.float64]
    segment_parent: NDArray[np.int64]
    segment_tree: NDArray[np.int64]
    tree_count: int
    volumes: dict[str, float]
    volume_shape: Triple
    grey_levels: dict[str, float]
    noise_sigma: float


@dataclass
class _Scene:
    """What all blocks of one seed share."""

    seed: int
    key: np.uint64
    vessels: Vessels
    table: NDArray[np.float64]
    found: NDArray[np.uint8]
    lock: threading.Lock = field(default_factory=threading.Lock)
    fascicles: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None

    def wall_texture(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the muscle's fascicles, placed on first use."""
        with self.lock:
            if self.fascicles is None:
                self.fascicles = draw.scatter_fascicles(self.key, self.found)
            return self.fascicles


_scenes = threading.Lock()


@lru_cache(maxsize=4)
def _make_scene(seed: int) -> _Scene:
    vessels = grow(seed)
    table = np.concatenate(
        [
            np.concatenate([vessels.ends[:, end], vessels.radii[:, end, None]], axis=1)
            for end in (0, 1)
        ],
        axis=1,
    )
    key = anatomy_key(seed)
    found = draw.survey(key, _BINS, _AXIS, _REACH_MM)
    return _Scene(seed, key, vessels, np.ascontiguousarray(table), found)


def _scene(seed: int) -> _Scene:
    with _scenes:  # two threads must not make one scene twice
        return _make_scene(seed)


@lru_cache(maxsize=16)
def _spheres(seed: int, channel: int) -> NDArray[np.float64]:
    """Return beads and calcified plaques as rows (z, y, x, radius, grey level), mm."""
    beads = [
        (z, y + _AXIS[0], x + _AXIS[1], BEAD_RADIUS_MM, BEAD_LEVEL[channel]) for z, y, x in BEADS_MM
    ]
    vessels = _scene(seed).vessels
    plaques = []
    for i in np.flatnonzero((vessels.label < 3) & (vessels.radii[:, 1] > 0.9)):
        h = int(stream(seed ^ (int(i) << 20), _CALCIUM))
        if h % 7 < 2:
            size = 0.35 + 0.75 * ((h >> 20) & 1023) / 1023.0
            offset = [(((h >> (30 + 10 * a)) & 1023) / 511.5 - 1.0) for a in range(3)]
            reach = float(vessels.radii[i, 1]) + VESSEL_WALL_MM
            length = math.sqrt(sum(o * o for o in offset)) + 1e-9
            place = [float(vessels.ends[i, 1, a]) + offset[a] / length * reach for a in range(3)]
            plaques.append((*place, size, CALCIUM_LEVEL[channel]))
    return np.array(plaques + beads)


@lru_cache(maxsize=16)
def _rings(seed: int, channel: int, group: int) -> NDArray[np.float32]:
    """Return ring artefacts (grey levels) by slab and radius, averaged over `group` pitches."""
    slabs = math.ceil(FOV_MM[0] / SLAB_MM)
    count = math.ceil(FOV_RADIUS_MM / RING_PITCH_MM / group) + 3
    table = np.empty((slabs, count * group))

    def spread(h: int) -> float:  # the sum of four uniform numbers, scaled to unit variance
        total = sum((h >> (16 * a)) & 0xFFFF for a in range(4)) / 65535.0
        return (total - 2.0) * math.sqrt(3.0)

    for s in range(slabs):
        offset = SLAB_SIGMA * spread(int(stream(seed ^ (s << 32), _RINGS + 2 * channel)))
        for r in range(table.shape[1]):
            h = int(stream(seed ^ (s << 32) ^ (r + 1), _RINGS + 2 * channel + 1))
            strong = 3.0 if h % 16 == 0 else 0.6
            disc = DISC_DEPTH if r * RING_PITCH_MM < DISC_RADIUS_MM else 0.0
            table[s, r] = offset - disc + strong * RING_SIGMA * spread(h)
    averaged: NDArray[np.float32] = np.zeros((slabs, count), np.float32)
    averaged[:] = table.reshape(slabs, count, group).sum(axis=2) / group
    return averaged


def _levels(channel: int, time: int) -> NDArray[np.float32]:
    """Return the table of grey levels of a channel at a time point."""
    names = (
        "air", "jar", "mount", "fat", "muscle", "arterial wall", "lumen", "clot", "leaflet",
        "vessel wall", "vessel", "membrane", "shade", "fibre",
    )  # fmt: skip
    table = np.array([LEVELS[name][channel] for name in names])
    for column in (grey.L_LUMEN, grey.L_VESSEL):  # the agent washes in
        if channel == 0:
            table[column] += 15000.0 * time / (time + 3.0)
        else:
            table[column] *= (time + 1.0) / (time + 2.0)
    return table.astype(np.float32)


def voxel_size(shape: Sequence[int]) -> tuple[float, float, float]:
    """Return the voxel size of an image of the heart.

    Parameters
    ----------
    shape : sequence of 3 int
        z, y, x.

    Returns
    -------
    tuple of 3 float
        z, y, x in micrometre.
    """
    z, y, x = _check_shape(shape)
    return FOV_MM[0] * 1000.0 / z, FOV_MM[1] * 1000.0 / y, FOV_MM[2] * 1000.0 / x


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

    def __init__(self, scene: _Scene, shape: Triple, origin: Triple, size: Triple) -> None:
        self.scene, self.shape, self.origin, self.size = scene, shape, origin, size
        self.zs, self.ys, self.xs = (
            centres(shape[a], origin[a], size[a], FOV_MM[a]) for a in range(3)
        )
        y, x = self.ys - _AXIS[0], self.xs - _AXIS[1]
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
        lattice = draw.lattice(self.scene.key, self.scene.found, *nodes, _AXIS, _REACH_MM)
        return draw.widen(lattice, *shares[2]), shares[0], shares[1]

    def vessels(
        self, margin: float, labels: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the distance to the nearest vessel (at most `margin`, mm) and its label."""
        distance = np.full(self.size, margin, np.float32)
        nearest = np.zeros(self.size if labels else (0, 0, 0), np.int32)
        draw.draw_vessels(
            self.scene.table, self.scene.vessels.label, self.zs, self.ys, self.xs,
            margin, distance, nearest,
        )  # fmt: skip
        return distance, nearest

    def clean(self, channel: int, time: int) -> NDArray[np.float32]:
        """Return the image before the scanner adds anything (grey levels)."""
        fields, planes, rows = self.fields()
        distance, _ = self.vessels(VESSEL_WALL_MM + self.edge)
        texture = np.zeros(self.size, np.float32)
        if self.voxel < _FASCICLE_VOXEL_MM:
            start, table = self.scene.wall_texture()
            draw.draw_fascicles(start, table, _BINS, self.zs, self.ys, self.xs, self.voxel, texture)
        image: NDArray[np.float32] = grey.compose(
            fields, planes, rows, distance, texture, self.radius, _levels(channel, time),
            np.float32(self.edge),
        )  # fmt: skip
        spheres = _spheres(self.scene.seed, channel)
        grey.paint_spheres(spheres, self.zs, self.ys, self.xs, self.edge, image)
        return image

    def develop(
        self, image: NDArray[np.float32], channel: int, time: int, noise: bool,
        out: NDArray[np.uint16],
    ) -> None:  # fmt: skip
        """Add noise and rings (where wanted), round, and write into `out`."""
        group = max(1, round(self.voxel / RING_PITCH_MM))
        rings = _rings(self.scene.seed, channel, group)
        at = self.radius * np.float32(1.0 / (RING_PITCH_MM * group))
        ring = np.minimum(at.astype(np.int32), np.int32(rings.shape[1] - 2))
        slabs = np.minimum((self.zs / SLAB_MM).astype(np.int64), rings.shape[0] - 1)
        gain = NOISE_SIGMA / grey.NOISE_UNIT if noise else 0.0
        if not noise:
            rings = np.zeros_like(rings)
        grey.develop(
            image, stream(self.scene.seed ^ (time << 8), _NOISE + channel), self.origin,
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
    scene = _scene(seed)
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
    scene = _scene(seed)
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
    scene = _scene(seed)
    out = np.zeros(extent, np.int32)
    for start, part, place in _tiles(first, extent):
        distance, nearest = _Tile(scene, whole, start, part).vessels(1e-6, labels=True)
        out[place] = np.where(distance < 0, nearest, 0)
    return out
