"""What is known about the heart sample before it is imaged.

Called by whoever scores a segmentation, a registration or a measurement of
the heart: through :func:`enormous.samples.heart.truth`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from enormous.samples import heart_kernels as draw
from enormous.samples._field import centres
from enormous.samples.heart_anatomy import (
    AORTIC,
    APEX_LENGTH_MM,
    FOV_MM,
    FOV_RADIUS_MM,
    MITRAL,
    PULMONARY,
    TRICUSPID,
    local,
    to_image,
)
from enormous.samples.heart_scene import (
    AXIS_MM,
    BEAD_RADIUS_MM,
    BEADS_MM,
    LEVELS,
    NOISE_SIGMA,
    Triple,
    scene_of,
)
from enormous.samples.heart_vessels import TREES

#: Shape at which volumes are counted: voxels of 1.6 mm.
VOLUME_SHAPE: Triple = (100, 78, 78)
_VOLUMES = ("left ventricle", "left atrium", "right atrium", "right ventricle", "myocardium")


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


def _micrometre(position: tuple[float, float, float]) -> tuple[float, float, float]:
    return position[0] * 1000.0, position[1] * 1000.0, position[2] * 1000.0


@lru_cache(maxsize=4)
def truth(seed: int = 0) -> Truth:
    """Return the ground truth of the heart with this seed.

    Parameters
    ----------
    seed : int, optional

    Returns
    -------
    Truth
        The same object at every call; its arrays are read-only.
    """
    scene = scene_of(seed)
    points = {
        "apex": local(APEX_LENGTH_MM, 0.0, 0.0),
        "mitral centre": MITRAL,
        "aortic root": AORTIC,
        "tricuspid centre": TRICUSPID,
        "pulmonary root": PULMONARY,
    }
    marks = {name: _micrometre(to_image(scene.key, point)) for name, point in points.items()}
    marks |= {name: _micrometre(point) for name, point in scene.vessels.ostia.items()}
    for i, (z, y, x) in enumerate(BEADS_MM):
        marks[f"bead {i + 1}"] = _micrometre((z, y + AXIS_MM[0], x + AXIS_MM[1]))
    axes = [centres(VOLUME_SHAPE[a], 0, VOLUME_SHAPE[a], FOV_MM[a]) for a in range(3)]
    counts = draw.count_structures(scene.key, scene.found, *axes, AXIS_MM, FOV_RADIUS_MM)
    voxel = FOV_MM[0] / VOLUME_SHAPE[0] * FOV_MM[1] / VOLUME_SHAPE[1] * FOV_MM[2] / VOLUME_SHAPE[2]
    vessels = scene.vessels
    known = Truth(
        field_of_view=_micrometre(FOV_MM),
        field_of_view_radius=FOV_RADIUS_MM * 1000.0,
        landmarks=marks,
        bead_radius=BEAD_RADIUS_MM * 1000.0,
        segment_ends=vessels.ends * 1000.0,
        segment_radii=vessels.radii * 1000.0,
        segment_parent=vessels.parent.copy(),
        segment_tree=vessels.label.copy(),
        tree_count=len(TREES),
        volumes={name: float(n) * voxel for name, n in zip(_VOLUMES, counts, strict=True)},
        volume_shape=VOLUME_SHAPE,
        grey_levels={name: level[0] for name, level in LEVELS.items()},
        noise_sigma=NOISE_SIGMA,
    )
    for array in (
        known.segment_ends,
        known.segment_radii,
        known.segment_parent,
        known.segment_tree,
    ):
        array.setflags(write=False)
    return known
