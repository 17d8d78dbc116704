"""The anatomy of the heart sample: where a point lies, in millimetres.

Called by :mod:`enormous.samples.heart_vessels` (which grows coronary vessels on
the outer wall) and :mod:`enormous.samples.heart_kernels` (which renders).
Signed distances are approximate (exact to first order at the surface) and
negative inside. The anatomy is written in a reference frame around the centre
of the mitral plane, ``BASE``; a smooth random displacement, drawn from the
seed, maps image space to it.

Axes are z (downwards, base to apex), y (front to back), x (the body's right to
left, as a viewer faces it).
"""

import math

import numpy as np
from numpy.typing import NDArray

from enormous.samples._field import (
    device,
    gradient_noise,
    kernel,
    ramp,
    smooth_min,
    stream,
    value_noise,
    vector_noise,
)

#: Field of view (z, y, x) in mm: 806 x 629 x 629 voxels of 200.64 um.
FOV_MM = (806 * 0.20064, 629 * 0.20064, 629 * 0.20064)
#: Reference origin: the centre of the mitral plane (z, y, x) in mm.
BASE = (78.0, 69.0, 68.5)
#: The reference frame is this much larger than the heart.
REDUCTION = 1.05
#: Radius (mm) of the circle in which the scanner reconstructs: 28 % of a plane lies outside.
FOV_RADIUS_MM = 60.4
#: Inner radius and wall (mm) of the jar that holds the organ.
JAR_RADIUS_MM, JAR_WALL_MM = 56.8, 1.1
#: Length (mm) and amplitude (mm) of the two random displacements of space.
WARP_LENGTH_MM, WARP_MM = 34.0, 9.0
WRINKLE_LENGTH_MM, WRINKLE_MM = 9.0, 1.6
#: Fields of a node of the lattice, in the order `anatomy` returns them.
LUMEN, WALL, FAT, LEAFLET, CLOT, ARTERIAL, CHAMBER = range(7)
FAR_MM = 99.0


def _unit(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / math.sqrt(float(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]))


def _frame() -> NDArray[np.float64]:
    """Return the long axis, the way to the right ventricle, and the front-left way (rows)."""
    long_axis = _unit(np.array([0.92, -0.18, 0.34]))
    right = np.array([0.0, -0.5, -0.86])
    right = right - long_axis * float(
        right[0] * long_axis[0] + right[1] * long_axis[1] + right[2] * long_axis[2]
    )
    right = _unit(right)
    front = np.array(
        [
            long_axis[1] * right[2] - long_axis[2] * right[1],
            long_axis[2] * right[0] - long_axis[0] * right[2],
            long_axis[0] * right[1] - long_axis[1] * right[0],
        ]
    )
    return np.stack([long_axis, right, front if front[1] < 0 else -front])


FRAME = _frame()


def local(long_axis: float, right: float, front: float) -> tuple[float, float, float]:
    """Turn heart coordinates (mm along the rows of ``FRAME``) into a z, y, x offset (mm)."""
    offset = FRAME[0] * long_axis + FRAME[1] * right + FRAME[2] * front
    return float(offset[0]), float(offset[1]), float(offset[2])


def _chain(*points: tuple[float, ...], open_end: bool = True) -> list[tuple[float, ...]]:
    """Join points (z, y, x, radius) to cones; the last is cut open where `open_end`.

    A row holds both points, the cut, and the sphere (z, y, x, radius) around the cone.
    """
    last = len(points) - 2
    rows = []
    for i in range(len(points) - 1):
        a, b = points[i], points[i + 1]
        middle = [0.5 * (a[d] + b[d]) for d in range(3)]
        half = 0.5 * math.sqrt(sum((a[d] - b[d]) * (a[d] - b[d]) for d in range(3)))
        cut = 1.0 if open_end and i == last else 0.0
        rows.append((*a, *b, cut, *middle, half + max(a[3], b[3])))
    return rows


MITRAL = local(-2.0, -8.0, -2.0)
AORTIC = (-9.0, -9.0, -9.0)
TRICUSPID = local(1.0, 36.0, -2.0)
PULMONARY = (-10.0, -29.0, -1.0)
APEX_LENGTH_MM = 84.0

_AORTA = _chain(
    (-3, -7, -8, 10.5), (-12, -10, -11, 14), (-22, -13, -14, 12), (-40, -15, -18, 13),
    (-55, -10, -17, 12.5), (-63, 2, -6, 11.5), (-60, 15, 6, 11), (-47, 24, 13, 10.5),
) + _chain((-66, -2, -10, 5), (-78, -4, -12, 4.5)) + _chain(
    (-66, 6, -2, 4), (-78, 6, -1, 3.5)) + _chain((-64, 12, 5, 4), (-78, 14, 8, 3.6))  # fmt: skip
_PULMONARY = _chain(
    (-8, -29, -2, 11), (-22, -26, 5, 11.5), (-36, -16, 12, 11), (-44, -4, 14, 9.5),
    (-47, 10, 30, 7.5),
) + _chain((-42, -5, 10, 9), (-46, 8, -8, 8), (-45, 12, -34, 7))  # fmt: skip
_LEFT_ATRIUM = (
    _chain((-26, 14, -12, 8), (-33, 24, -38, 6))
    + _chain((-20, 16, -12, 8), (-16, 28, -36, 6))
    + _chain((-26, 14, 8, 8), (-32, 24, 35, 6))
    + _chain((-20, 16, 8, 8), (-16, 28, 33, 6))
    + _chain((-20, 6, 18, 9), (-19, -8, 27, 7.5), (-13, -19, 28, 5), open_end=False)
)
_RIGHT_ATRIUM = (
    _chain((-22, 6, -38, 9.5), (-44, 2, -36, 9), (-70, -2, -36, 8.5))
    + _chain((-10, 8, -36, 11), (8, 17, -37, 11), (24, 24, -38, 11))
    + _chain((-26, -8, -34, 11), (-33, -22, -24, 8), (-30, -29, -16, 5), open_end=False)
)
_INFUNDIBULUM = _chain(
    (*local(28, 30, 18), 16.0), (*local(6, 20, 26), 12.0), (-9, -29, -1, 10.5), open_end=False
)
#: Tubes as rows (see _chain), mm from BASE; the slices belong to one structure.
TUBES = np.array(_AORTA + _PULMONARY + _LEFT_ATRIUM + _RIGHT_ATRIUM + _INFUNDIBULUM)
_ENDS = tuple(
    int(n) for n in np.cumsum([len(_AORTA), len(_PULMONARY), len(_LEFT_ATRIUM),
                               len(_RIGHT_ATRIUM), len(_INFUNDIBULUM)])
)  # fmt: skip
#: Openings between two lumens, same columns: mitral, aortic, tricuspid, pulmonary.
OPENINGS = np.array(
    _chain((-12, 6, 1, 11), (*local(14, -7, 0), 12), open_end=False)
    + _chain((*local(10, 5, 2), 10), (-12, -10, -11, 10), open_end=False)
    + _chain((-10, 0, -36, 13), (*local(14, 34, 0), 13), open_end=False)
    + _chain((-4, -29, -3, 10), (-18, -27, 3, 10), open_end=False)
)
#: Valves as rows (centre z, y, x; axis z, y, x; radius; depth of the leaflets' dome), mm.
VALVES = np.array(
    [
        (*MITRAL, *FRAME[0], 12.5, 13.0),
        (*AORTIC, *_unit(np.array([-0.9, -0.25, -0.3])), 12.0, 5.0),
        (*TRICUSPID, *_unit(np.array([0.95, -0.2, 0.05])), 14.5, 11.0),
        (*PULMONARY, *_unit(np.array([-0.9, 0.2, 0.4])), 11.5, 5.0),
    ]
)
#: Papillary muscles of the left ventricle, as tubes.
_PAPILLARY = np.array(
    _chain((*local(62, -8, 8), 6.5), (*local(28, -10, 9), 3.5), open_end=False)
    + _chain((*local(60, -2, -9), 6.0), (*local(28, -5, -12), 3.5), open_end=False)
)
_B0, _B1, _B2 = BASE
_E, _R, _F = (tuple(float(c) for c in row) for row in FRAME)
_E0, _E1, _E2 = _E
_R0, _R1, _R2 = _R
_F0, _F1, _F2 = _F


@device
def ellipsoid(a, b, c, ra, rb, rc):  # type: ignore[no-untyped-def]
    """Return the first-order signed distance to an ellipsoid at the origin."""
    a0, b0, c0 = a / ra, b / rb, c / rc
    k0 = math.sqrt(a0 * a0 + b0 * b0 + c0 * c0)
    a1, b1, c1 = a0 / ra, b0 / rb, c0 / rc
    k1 = math.sqrt(a1 * a1 + b1 * b1 + c1 * c1)
    return k0 * (k0 - 1.0) / (k1 + 1e-9)


@device
def tube(row, z, y, x):  # type: ignore[no-untyped-def]
    """Return the signed distance to a cone with round ends."""
    az, ay, ax = row[4] - row[0], row[5] - row[1], row[6] - row[2]
    pz, py, px = z - row[0], y - row[1], x - row[2]
    length2 = az * az + ay * ay + ax * ax
    h = (pz * az + py * ay + px * ax) / length2
    t = min(max(h, 0.0), 1.0)
    pz, py, px = pz - t * az, py - t * ay, px - t * ax
    d = math.sqrt(pz * pz + py * py + px * px) - (row[3] + t * (row[7] - row[3]))
    if row[8] > 0.0 and h > 1.0:
        d = max(d, (h - 1.0) * math.sqrt(length2))
    return d


@device
def tubes(table, first, last, z, y, x):  # type: ignore[no-untyped-def]
    """Return the signed distance to the nearest of some tubes."""
    d = FAR_MM
    for i in range(first, last):
        row = table[i]
        pz, py, px = z - row[9], y - row[10], x - row[11]
        bound = d + row[12]
        if bound > 0.0 and pz * pz + py * py + px * px < bound * bound:
            d = min(d, tube(row, z, y, x))
    return d


@device
def displace(key, z, y, x):  # type: ignore[no-untyped-def]
    """Map a point of the image (mm) to the reference frame (mm from ``BASE``)."""
    s = 1.0 / WARP_LENGTH_MM
    w = 1.0 / WRINKLE_LENGTH_MM
    dz, dy, dx = vector_noise(key, z * s, y * s, x * s)
    dz, dy, dx = WARP_MM * dz, WARP_MM * dy, WARP_MM * dx
    wrinkle = WRINKLE_MM * gradient_noise(key, z * w, y * w, x * w)
    return (
        (z + dz + wrinkle - _B0) * REDUCTION,
        (y + dy - wrinkle - _B1) * REDUCTION,
        (x + dx + wrinkle - _B2) * REDUCTION,
    )


@device
def leaflets(z, y, x):  # type: ignore[no-untyped-def]
    """Return the *square* of the distance (mm2) to the nearest valve's leaflets.

    They form a dome; that of the two large valves is open at its top. The
    square is smooth where the distance has a kink, so it survives
    interpolation; it grows quickly beyond the leaflets' rim.
    """
    best = FAR_MM
    for i in range(VALVES.shape[0]):
        v = VALVES[i]
        pz, py, px = z - v[0], y - v[1], x - v[2]
        h = pz * v[3] + py * v[4] + px * v[5]
        rho2 = pz * pz + py * py + px * px - h * h
        radius, depth = v[6], v[7]
        if rho2 < (radius + 6.0) * (radius + 6.0) and abs(h) < depth + 12.0:
            slope2 = 4.0 * depth * depth * rho2 / (radius * radius * radius * radius)
            d = h - depth * (1.0 - rho2 / (radius * radius))
            beyond = max(math.sqrt(max(rho2, 0.0)) - radius - 2.0, 0.0)
            if depth > 8.0:
                beyond += max(h - 0.7 * depth, 0.0)
            best = min(best, d * d / (1.0 + slope2) + 3.0 * beyond * beyond)
    return best


@device
def solids(key, z, y, x):  # type: ignore[no-untyped-def]
    """Evaluate the six structures at a reference point (mm from ``BASE``).

    Returns
    -------
    lumens : tuple of 6 float64
        Aorta, left ventricle, pulmonary trunk, left atrium, right atrium,
        right ventricle, each without the walls of those before it.
    outers : tuple of 6 float64
        Their outer surfaces.
    """
    t = z * _E0 + y * _E1 + x * _E2
    u = z * _R0 + y * _R1 + x * _R2
    v = z * _F0 + y * _F1 + x * _F2
    aorta = tubes(TUBES, 0, _ENDS[0], z, y, x)
    trunk = tubes(TUBES, _ENDS[0], _ENDS[1], z, y, x)
    veins = tubes(TUBES, _ENDS[1], _ENDS[2], z, y, x)
    cavae = tubes(TUBES, _ENDS[2], _ENDS[3], z, y, x)
    outflow = tubes(TUBES, _ENDS[3], _ENDS[4], z, y, x)

    lv_out = ellipsoid(t - 15.0, u, v, APEX_LENGTH_MM - 15.0, 34.0, 35.0)
    lv_out = -smooth_min(-lv_out, t + 6.0, 16.0)
    lv = max(ellipsoid(t - 12.0, u + 1.0, v, 58.0, 19.0, 20.0), -(t - 1.0))
    rv_shape = ellipsoid(t - 8.0, u - 28.0, v - 4.0, 60.0, 29.0, 39.0)
    rv = -smooth_min(-rv_shape, t - 3.0, 12.0)
    rv = smooth_min(rv, outflow, 6.0)
    rv_out = -smooth_min(4.5 - rv_shape, t + 3.0, 14.0)
    rv_out = smooth_min(rv_out, outflow - 3.5, 6.0)
    la = smooth_min(ellipsoid(z + 23.0, y - 13.0, x + 2.0, 18.0, 16.0, 25.0), veins, 5.0)
    ra = smooth_min(ellipsoid(z + 16.0, y - 2.0, x + 38.0, 23.0, 19.0, 16.0), cavae, 6.0)

    near = min(abs(lv), abs(rv))
    if near < 9.0:  # trabeculae: ridges along the long axis, strongest towards the apex
        ridge = 1.0 - 4.0 * abs(gradient_noise(key + np.uint64(7), t / 13.0, u / 4.2, v / 4.2))
        ridge = max(ridge, 0.0)
        lv += ridge * (2.0 + 3.5 * ramp(5.0, 50.0, t))
        rv += ridge * (1.5 + 4.0 * ramp(5.0, 40.0, t))
        lv = max(lv, -tubes(_PAPILLARY, 0, 2, z, y, x))
    ao_out, pt_out, la_out, ra_out = aorta - 2.0, trunk - 1.7, la - 2.3, ra - 2.0
    comb = 1.0 - 4.0 * abs(gradient_noise(key + np.uint64(8), z / 9.0, y / 3.4, x / 3.4))
    ra += 2.0 * max(comb, 0.0)  # pectinate muscles
    lv = max(lv, -ao_out)
    trunk = max(trunk, -ao_out)
    trunk = max(trunk, -lv_out)
    before = min(min(ao_out, pt_out), lv_out)
    la = max(la, -before)
    before = min(before, la_out)
    ra = max(ra, -before)
    rv = max(rv, -min(before, ra_out))
    return (aorta, lv, trunk, la, ra, rv), (ao_out, lv_out, pt_out, la_out, ra_out, rv_out)


@device
def anatomy(key, pz, py, px):  # type: ignore[no-untyped-def]
    """Evaluate the heart at a point of the image.

    Parameters
    ----------
    key : uint64
        Stream of the anatomy.
    pz, py, px : float64
        Position in mm.

    Returns
    -------
    tuple of 7 float64
        Signed distances (mm) to lumen, wall (muscle and great vessels) and
        fat; the squared distance (mm2) to the leaflets; the distance to clot;
        0 (muscle) to 1 (wall of a great vessel); the distance to the nearest
        of the four chambers.
    """
    z, y, x = displace(key, pz, py, px)
    lumens, outers = solids(key, z, y, x)
    aorta, lv, trunk, la, ra, rv = lumens
    ao_out, lv_out, pt_out, la_out, ra_out, rv_out = outers
    chamber = min(min(lv, la), min(ra, rv))
    lumen = min(min(aorta, trunk), chamber)
    lumen = min(lumen, tubes(OPENINGS, 0, 4, z, y, x))
    muscle = min(min(lv_out, rv_out), min(la_out, ra_out))
    vessel = min(ao_out, pt_out)
    wall = min(muscle, vessel)
    arterial = ramp(-1.0, 1.0, muscle - vessel)

    fat = smooth_min(lv_out, rv_out, 20.0)
    fat = smooth_min(fat, smooth_min(la_out, ra_out, 12.0), 22.0)
    fat = smooth_min(fat, vessel + 1.0, 20.0)
    if fat < 8.0:
        thick = value_noise(key + np.uint64(3), z / 11.0, y / 11.0, x / 11.0)
        fat -= 1.3 + 2.2 * thick + 1.5 * ramp(10.0, -10.0, z)
    clot = FAR_MM
    if lumen < 3.0:
        # how full of clotted blood each cavity is: the right side most, as after death
        fill = 0.14 * ramp(1.5, -1.5, aorta) + 0.18 * ramp(1.5, -1.5, ra)
        fill += 0.10 * ramp(1.5, -1.5, rv) - 0.10
        noise = gradient_noise(key + np.uint64(4), z / 18.0, y / 18.0, x / 18.0)
        fine = gradient_noise(key + np.uint64(5), z / 5.0, y / 5.0, x / 5.0)
        clot = max((-noise - 0.25 * fine - fill) * 22.0, lumen + 0.9)
    return lumen, wall, fat, leaflets(z, y, x), clot, arterial, chamber


@kernel
def wall_distance(key, points):  # type: ignore[no-untyped-def]
    """Return the signed distance (mm) of points, shape (n, 3), to the outer muscle and vessels."""
    out = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        z, y, x = displace(key, points[i, 0], points[i, 1], points[i, 2])
        outers = solids(key, z, y, x)[1]
        ao, lv, pt, la, ra, rv = outers
        out[i] = min(min(min(ao, lv), min(pt, la)), min(ra, rv))
    return out


@kernel
def _to_reference(key, z, y, x):  # type: ignore[no-untyped-def]
    return displace(key, z, y, x)


def anatomy_key(seed: int) -> np.uint64:
    """Return the stream of all random shapes of the heart with this seed."""
    return stream(seed, 1)


def to_image(key: np.uint64, offset: tuple[float, float, float]) -> tuple[float, float, float]:
    """Find the image position (mm) that the displacement takes to a reference point.

    Parameters
    ----------
    key : uint64
    offset : tuple of float
        z, y, x in mm from ``BASE``.

    Returns
    -------
    tuple of float
        By fixed-point iteration: the displacement's slope is well below 1.
    """
    z, y, x = (BASE[a] + offset[a] for a in range(3))
    for _ in range(60):
        rz, ry, rx = _to_reference(key, z, y, x)
        z, y, x = z - (rz - offset[0]), y - (ry - offset[1]), x - (rx - offset[2])
    return float(z), float(y), float(x)
