"""What all blocks of one heart share: grey levels, vessels, beads, ring artefacts.

Called by :mod:`enormous.samples.heart`, which makes images and masks, and by
:mod:`enormous.samples.heart_truth`, which says what is in them. Figures with a
unit in their name are the assumptions of the twin; the compression ratios
follow from them.
"""

import math
import threading
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from enormous.samples import heart_develop as grey
from enormous.samples import heart_kernels as draw
from enormous.samples._field import stream
from enormous.samples.heart_anatomy import FOV_MM, FOV_RADIUS_MM, JAR_RADIUS_MM, anatomy_key
from enormous.samples.heart_vessels import VESSEL_WALL_MM, Vessels, grow

Triple = tuple[int, int, int]

#: Shapes with a name (z, y, x). Voxel sizes: 200.64 um, about 0.81 mm, about 2.5 mm.
SHAPES: dict[str, Triple] = {
    "full": (806, 629, 629),
    "small": (200, 156, 156),
    "tiny": (64, 50, 50),
}
#: Standard deviation of the detector noise, in grey levels.
NOISE_SIGMA = 320.0
#: Standard deviation of ring artefacts in grey levels, and their pitch in mm.
RING_SIGMA, RING_PITCH_MM = 160.0, 0.2
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
    (9.0, 39.0, -15.0),
    (16.0, -38.0, 18.0),
    (24.0, -27.0, -32.0),
    (141.0, 36.0, -22.0),
    (149.0, -12.0, -39.0),
    (146.0, 26.0, 33.0),
)

AXIS_MM = (0.5 * FOV_MM[1], 0.5 * FOV_MM[2])
REACH_MM = JAR_RADIUS_MM + 2.0
BINS: Triple = tuple(  # type: ignore[assignment]
    math.ceil(extent / draw.BIN_MM) for extent in FOV_MM
)
#: Fascicles vanish in voxels (mm) larger than this.
FASCICLE_VOXEL_MM = 1.3
#: Vessels thinner than this share of a voxel do not show in an image.
THINNEST_VESSEL = 0.2
#: Streams of random numbers (see `_field.stream`): 1 anatomy, 2 trees, then these.
_CALCIUM, _RINGS, _NOISE = 3, 4, 16


@dataclass
class Scene:
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
def _make_scene(seed: int) -> Scene:
    vessels = grow(seed)
    table = np.concatenate(
        [
            np.concatenate([vessels.ends[:, end], vessels.radii[:, end, None]], axis=1)
            for end in (0, 1)
        ],
        axis=1,
    )
    key = anatomy_key(seed)
    found = draw.survey(key, BINS, AXIS_MM, REACH_MM)
    return Scene(seed, key, vessels, np.ascontiguousarray(table), found)


def scene_of(seed: int) -> Scene:
    """Return the scene of a seed; the last few are kept."""
    with _scenes:  # two threads must not make one scene twice
        return _make_scene(seed)


@lru_cache(maxsize=16)
def spheres_of(seed: int, channel: int) -> NDArray[np.float64]:
    """Return beads and calcified plaques as rows (z, y, x, radius, grey level), mm."""
    beads = [
        (z, y + AXIS_MM[0], x + AXIS_MM[1], BEAD_RADIUS_MM, BEAD_LEVEL[channel])
        for z, y, x in BEADS_MM
    ]
    vessels = scene_of(seed).vessels
    plaques = []
    for i in np.flatnonzero((vessels.label < 3) & (vessels.radii[:, 1] > 0.9)):
        h = int(stream(int(stream(seed, _CALCIUM)), int(i)))
        if h % 7 < 2:
            size = 0.35 + 0.75 * ((h >> 20) & 1023) / 1023.0
            offset = [(((h >> (30 + 10 * a)) & 1023) / 511.5 - 1.0) for a in range(3)]
            reach = float(vessels.radii[i, 1]) + VESSEL_WALL_MM
            length = math.sqrt(sum(o * o for o in offset)) + 1e-9
            place = [float(vessels.ends[i, 1, a]) + offset[a] / length * reach for a in range(3)]
            plaques.append((*place, size, CALCIUM_LEVEL[channel]))
    return np.array(plaques + beads)


@lru_cache(maxsize=16)
def rings_of(seed: int, channel: int, group: int) -> NDArray[np.float32]:
    """Return ring artefacts (grey levels) by slab and radius, averaged over `group` pitches."""
    slabs = math.ceil(FOV_MM[0] / SLAB_MM)
    count = math.ceil(FOV_RADIUS_MM / RING_PITCH_MM / group) + 3
    table = np.empty((slabs, count * group))

    def spread(h: int) -> float:  # the sum of four uniform numbers, scaled to unit variance
        total = sum((h >> (16 * a)) & 0xFFFF for a in range(4)) / 65535.0
        return (total - 2.0) * math.sqrt(3.0)

    for s in range(slabs):
        key = int(stream(int(stream(seed, _RINGS + channel)), s))
        offset = SLAB_SIGMA * spread(key)
        for r in range(table.shape[1]):
            h = int(stream(key, r))
            strong = 3.0 if h % 16 == 0 else 0.68
            disc = DISC_DEPTH if r * RING_PITCH_MM < DISC_RADIUS_MM else 0.0
            table[s, r] = offset - disc + strong * RING_SIGMA * spread(h)
    averaged = np.zeros((slabs, count), np.float32)
    for g in range(group):  # one order of additions
        averaged += (table[:, g::group] / group).astype(np.float32)
    return averaged


def noise_key(seed: int, channel: int, time: int) -> np.uint64:
    """Return the stream of the detector noise of a channel at a time point."""
    return stream(int(stream(seed, _NOISE + channel)), time)


def levels_of(channel: int, time: int) -> NDArray[np.float32]:
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
