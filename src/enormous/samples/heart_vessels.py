"""The coronary vessels of the heart sample: trees grown on the wall, known to the last segment.

Called by :mod:`enormous.samples.heart`, once per seed. Four trunks (anterior
descending, circumflex, right coronary artery, great cardiac vein) are led
along the grooves of the heart by way points; side branches leave them towards
the apex and divide by Murray's law (the cubes of the radii are conserved:
C. D. Murray, PNAS 12, 207, 1926). Everything is plain float64 arithmetic on
hashed numbers, so a seed gives the same trees everywhere.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from enormous.samples._field import stream
from enormous.samples.heart_anatomy import (
    AORTIC,
    FOV_MM,
    FRAME,
    JAR_RADIUS_MM,
    anatomy_key,
    local,
    to_image,
    wall_distance,
)

Vector = NDArray[np.float64]

STEP_MM = 2.4
#: Thickness (mm) of a coronary vessel's wall.
VESSEL_WALL_MM = 0.45
#: Radius (mm) at which a branch ends.
END_RADIUS_MM = 0.22
#: Names of the connected trees, in the order of their labels 1, 2, 3.
TREES = ("left coronary artery", "right coronary artery", "great cardiac vein")

_OSTIUM_LEFT = (AORTIC[0] - 4.0, AORTIC[1] - 4.0, AORTIC[2] + 13.0)
_OSTIUM_RIGHT = (AORTIC[0] - 4.0, AORTIC[1] - 12.0, AORTIC[2] - 7.0)
#: Trunks: tree, radius at the ostium (mm), way points (mm from BASE).
_TRUNKS = (
    (1, 2.1, (_OSTIUM_LEFT, local(8, 12, 33), local(35, 17, 32), local(62, 9, 20),
              local(83, 2, 4))),
    (1, 1.8, (_OSTIUM_LEFT, local(-3, -12, 32), local(-3, -32, 10), local(-3, -26, -22),
              local(6, -10, -34))),
    (2, 2.2, (_OSTIUM_RIGHT, local(0, 40, 32), local(0, 58, 8), local(0, 44, -26),
              local(0, 16, -36), local(35, 17, -30), local(62, 10, -17))),
    (3, 3.0, (local(-6, 18, -38), local(-6, -8, -38), local(-6, -29, -24), local(-6, -35, 10),
              local(-4, -14, 35), local(20, 8, 36), local(50, 7, 28), local(70, 3, 14))),
)  # fmt: skip


@dataclass
class Tree:
    """The segments grown so far; positions in mm, one list entry per segment."""

    start: list[Vector] = field(default_factory=list)
    end: list[Vector] = field(default_factory=list)
    radius: list[tuple[float, float]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)

    def add(self, a: Vector, b: Vector, ra: float, rb: float, parent: int, label: int) -> int:
        """Append a segment and return its number."""
        self.start.append(a)
        self.end.append(b)
        self.radius.append((ra, rb))
        self.parent.append(parent)
        self.label.append(label)
        return len(self.start) - 1


def _length(v: Vector) -> float:
    return math.sqrt(float(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]))


def _normal(v: Vector) -> Vector:
    return v / (_length(v) + 1e-12)


def _along(a: Vector, b: Vector) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _in_jar(p: Vector) -> bool:
    y, x = float(p[1]) - 0.5 * FOV_MM[1], float(p[2]) - 0.5 * FOV_MM[2]
    return math.sqrt(y * y + x * x) < JAR_RADIUS_MM - 1.5


def _cube_root(value: float) -> float:
    """Return the cube root of a number in (0, 1] by Newton's method (no libm)."""
    x = 1.0
    for _ in range(40):
        x = x - (x * x * x - value) / (3.0 * x * x)
    return x


class Grower:
    """Grows all trees of one seed."""

    def __init__(self, seed: int) -> None:
        self.key = anatomy_key(seed)
        self.tree = Tree()
        self._random = int(stream(seed, 2))

    def random(self) -> float:
        """Return the next number in [0, 1) of this tree's own sequence (SplitMix64)."""
        mask = (1 << 64) - 1
        self._random = (self._random + 0x9E3779B97F4A7C15) & mask
        h = self._random
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
        h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
        return ((h ^ (h >> 31)) >> 11) / 9007199254740992.0

    def surface(self, p: Vector) -> tuple[float, Vector]:
        """Return distance to the wall and its outward normal."""
        h = 0.6
        probe = np.repeat(p[None, :], 7, axis=0)
        for axis in range(3):
            probe[1 + 2 * axis, axis] += h
            probe[2 + 2 * axis, axis] -= h
        d = wall_distance(self.key, probe)
        return float(d[0]), _normal(d[1::2] - d[2::2])

    def settle(self, p: Vector, height: float) -> tuple[Vector, Vector]:
        """Move a point to `height` (mm) above the wall; return it and the normal."""
        normal = p
        for _ in range(3):
            d, normal = self.surface(p)
            p = p - normal * min(max(d - height, -1.5), 1.5)
        return p, normal

    def way_points(self, way: tuple[tuple[float, float, float], ...]) -> list[Vector]:
        """Bring way points into the image, all but the first (the ostium) onto the wall."""
        points = [np.array(to_image(self.key, offset)) for offset in way]
        for i in range(1, len(points)):
            for _ in range(6):
                points[i], _ = self.settle(points[i], 2.0)
        return points

    def jitter(self, size: float) -> Vector:
        """Return a random vector within a cube of half-width `size`."""
        return np.array([(2.0 * self.random() - 1.0) * size for _ in range(3)])

    def trunk(self, label: int, radius: float, way: list[Vector]) -> None:
        """Grow a trunk along its way points, with side branches."""
        tree = self.tree
        p, heading = way[0], _normal(way[1] - way[0])
        total = sum(_length(b - a) for a, b in pairwise(way))
        parent, target, travelled, since, side = -1, 1, 0.0, 0.0, 1.0
        r = radius
        while target < len(way) and travelled < 1.4 * total and r > 0.45:
            heading = _normal(heading + 0.45 * _normal(way[target] - p) + self.jitter(0.16))
            leaving = 1.0 if travelled > 6.0 else travelled / 6.0
            step = p + heading * STEP_MM
            settled, normal = self.settle(step, r + 0.9)
            q = step + (settled - step) * leaving
            rb = radius * (1.0 - 0.62 * min(travelled / total, 1.0))
            parent = tree.add(p, q, r, rb, parent, label)
            travelled += STEP_MM
            since += STEP_MM
            heading = _normal(q - p)
            p, r = q, rb
            if since > 7.0 + 5.0 * self.random() and travelled > 9.0:
                since, side = 0.0, -side
                self.side(p, heading, normal, side, r, parent, label)
            if _length(way[target] - p) < 7.0:
                target += 1
        self.branch(p, heading, r, parent, label, 24.0, False)

    def side(
        self, p: Vector, heading: Vector, normal: Vector, side: float, r: float,
        parent: int, label: int,
    ) -> None:  # fmt: skip
        """Send a branch off a trunk: over the surface, and sometimes one into the wall."""
        across = np.array(
            [
                normal[1] * heading[2] - normal[2] * heading[1],
                normal[2] * heading[0] - normal[0] * heading[2],
                normal[0] * heading[1] - normal[1] * heading[0],
            ]
        )
        axis = FRAME[0]
        if abs(_along(across, axis)) > 0.6:  # a trunk in a groove around the base: go down
            across = axis if self.random() < 0.8 else -axis
        else:
            across = across * side
        ratio = 0.5 + 0.25 * self.random()
        way = _normal(across + 0.7 * heading + 0.3 * axis)
        self.branch(p, way, r * ratio, parent, label, 30.0 + 30.0 * self.random(), False)
        if self.random() < 0.75:
            inward = _normal(-normal + 0.5 * self.jitter(1.0))
            self.branch(p, inward, 0.6 * ratio * r, parent, label, 22.0, True)

    def branch(
        self, p: Vector, heading: Vector, r: float, parent: int, label: int, reach: float,
        inside: bool,
    ) -> None:  # fmt: skip
        """Grow a branch of length `reach` (mm) and its divisions until they are too thin."""
        tree = self.tree
        travelled, since = 0.0, 0.0
        while travelled < reach and r > END_RADIUS_MM:
            heading = _normal(heading + self.jitter(0.34) + (0.0 if inside else 0.06) * FRAME[0])
            q = p + heading * STEP_MM
            if inside:
                if self.surface(q)[0] > -1.0:
                    break  # it would leave the muscle
            else:
                q, _ = self.settle(q, r + 0.4)
            if not _in_jar(q):
                break
            rb = r * (1.0 - 0.35 * STEP_MM / reach)
            parent = tree.add(p, q, r, rb, parent, label)
            heading = _normal(q - p)
            p, r = q, rb
            travelled += STEP_MM
            since += STEP_MM
            if since > 5.0 + 5.0 * self.random() and reach - travelled > 4.0 * STEP_MM:
                since = 0.0
                ratio = 0.55 + 0.3 * self.random()
                turn = _normal(heading + self.jitter(0.95))
                self.branch(p, turn, r * ratio, parent, label, 0.7 * (reach - travelled), inside)
                r = r * _cube_root(1.0 - ratio * ratio * ratio)


@dataclass(frozen=True)
class Vessels:
    """All coronary segments of a seed.

    Attributes
    ----------
    ends : ndarray of float64, shape (n, 2, 3)
        Where a segment's axis starts and ends: z, y, x in mm.
    radii : ndarray of float64, shape (n, 2)
        Radius of the lumen (mm) at both.
    parent : ndarray of int64, shape (n,)
        The segment it continues or leaves; -1 at an ostium.
    label : ndarray of int64, shape (n,)
        The connected tree it belongs to: 1 + index into ``TREES``.
    ostia : dict of str to tuple
        Where each trunk starts (mm).
    """

    ends: NDArray[np.float64]
    radii: NDArray[np.float64]
    parent: NDArray[np.int64]
    label: NDArray[np.int64]
    ostia: dict[str, tuple[float, float, float]]


def grow(seed: int) -> Vessels:
    """Grow the coronary vessels of a seed.

    Parameters
    ----------
    seed : int

    Returns
    -------
    Vessels
    """
    grower = Grower(seed)
    ostia: dict[str, tuple[float, float, float]] = {}
    for label, radius, way in _TRUNKS:
        points = grower.way_points(way)
        ostia.setdefault(f"ostium of the {TREES[label - 1]}", tuple(points[0].tolist()))
        grower.trunk(label, radius, points)
    tree = grower.tree
    return Vessels(
        ends=np.stack([np.stack(tree.start), np.stack(tree.end)], axis=1),
        radii=np.array(tree.radius),
        parent=np.array(tree.parent, dtype=np.int64),
        label=np.array(tree.label, dtype=np.int64),
        ostia=ostia,
    )
