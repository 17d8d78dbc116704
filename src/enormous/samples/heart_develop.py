"""The kernels that turn the heart sample's shapes into grey levels and masks.

Called by :mod:`enormous.samples.heart` alone, on the fields that
:mod:`enormous.samples.heart_kernels` has drawn: `compose`, `paint_spheres`,
`develop` for an image, `classify` for a mask. `compose` and `develop` touch
every voxel, so their inner loops are branch-free float32 along x.
"""

import math

import numpy as np

from enormous.samples._field import device, hash_x, kernel, row_key
from enormous.samples.heart_anatomy import (
    ARTERIAL,
    CHAMBER,
    CLOT,
    FAT,
    JAR_RADIUS_MM,
    JAR_WALL_MM,
    LEAFLET,
    LUMEN,
    WALL,
)
from enormous.samples.heart_kernels import SHADE, _window
from enormous.samples.heart_vessels import VESSEL_WALL_MM

#: Half thickness (mm) of a valve's leaflet and of the membrane around the fat.
LEAFLET_MM, MEMBRANE_MM = 0.6, 0.3
#: Columns of the table of grey levels.
(L_AIR, L_JAR, L_MOUNT, L_FAT, L_MUSCLE, L_ARTERIAL, L_LUMEN, L_CLOT, L_LEAFLET, L_VESSEL_WALL,
 L_VESSEL, L_MEMBRANE, L_SHADE, L_FIBRE) = range(14)  # fmt: skip
#: Weights of the noise's smoothing kernel along each axis: side, middle, side.
NOISE_SIDE, NOISE_MIDDLE = 1, 2
#: Standard deviation of the smoothed integers that `develop` scales: a sum of
#: four bytes (variance 4 (256**2 - 1) / 12), smoothed along three axes.
NOISE_UNIT = math.sqrt(4.0 * (256.0**2 - 1.0) / 12.0 * (NOISE_MIDDLE**2 + 2.0 * NOISE_SIDE**2) ** 3)
#: What `classify` can pick.
MASKS = ("fov", "tissue", "myocardium", "vessels", "chambers", "clot", "fat")
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LEAF, _MEMBRANE = np.float32(LEAFLET_MM), np.float32(MEMBRANE_MM)
_VESSEL_WALL = np.float32(VESSEL_WALL_MM)
_JAR, _JAR_WALL = np.float32(JAR_RADIUS_MM), np.float32(JAR_WALL_MM)
_BYTE, _MEAN = np.uint32(255), np.int32(510)
_8, _16, _24, _32 = np.uint32(8), np.uint32(16), np.uint32(24), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@kernel
def compose(fields, planes, rows, distance, texture, radius, level, edge):  # type: ignore[no-untyped-def]
    """Mix the materials of every voxel.

    Parameters
    ----------
    fields : ndarray of float32, shape (FIELDS, a, b, nx)
        The lattice, already as wide as the tile.
    planes, rows : tuple of (ndarray of int64, ndarray of float32)
        Node before each plane (row), and the share of the node after it.
    distance, texture : ndarray of float32, shape (nz, ny, nx)
        Distance to the nearest vessel (mm); texture of fibres.
    radius : ndarray of float32, shape (ny, nx)
        Distance from the axis of rotation (mm).
    level : ndarray of float32
        The table of grey levels.
    edge : float32
        Width (mm) over which an edge is blurred.

    Returns
    -------
    ndarray of float32, shape (nz, ny, nx)
    """
    nz, ny, nx = distance.shape
    out = np.empty(distance.shape, np.float32)
    plane = np.empty((fields.shape[0], *fields.shape[2:]), np.float32)
    row = np.empty((fields.shape[0], nx), np.float32)
    sharp = _ONE / edge
    for i in range(nz):
        share = planes[1][i]
        for f in range(fields.shape[0]):
            if f == CHAMBER:
                continue
            low, high = fields[f, planes[0][i]], fields[f, planes[0][i] + 1]
            for b in range(low.shape[0]):
                for k in range(nx):
                    plane[f, b, k] = low[b, k] + (high[b, k] - low[b, k]) * share
        for j in range(ny):
            near, share_y = rows[0][j], rows[1][j]
            for f in range(fields.shape[0]):
                for k in range(nx):
                    a = plane[f, near, k]
                    row[f, k] = a + (plane[f, near + 1, k] - a) * share_y
            _mix(row, distance[i, j], texture[i, j], radius[j], level, sharp, out[i, j])
    return out


@device
def _sheet(distance, half, sharp):  # type: ignore[no-untyped-def]
    """Return the share of a voxel within a sheet: right also where the sheet is the thinner."""
    outer = min(max(_HALF - (distance - half) * sharp, _ZERO), _ONE)
    return outer - min(max(_HALF - (distance + half) * sharp, _ZERO), _ONE)


@kernel
def _mix(row, distance, texture, radius, level, sharp, out):  # type: ignore[no-untyped-def]
    """Mix the materials along one row; each share is the part of a voxel inside a surface."""
    air, jar, mount, fat_level = level[L_AIR], level[L_JAR], level[L_MOUNT], level[L_FAT]
    muscle, arterial, lumen_level = level[L_MUSCLE], level[L_ARTERIAL], level[L_LUMEN]
    clot_level, leaflet, vessel_wall = level[L_CLOT], level[L_LEAFLET], level[L_VESSEL_WALL]
    vessel, membrane = level[L_VESSEL], level[L_MEMBRANE]
    shade, fibre = level[L_SHADE], level[L_FIBRE]
    for k in range(out.size):
        fat = row[FAT, k]
        wall = row[WALL, k]
        inside_fat = min(max(_HALF - fat * sharp, _ZERO), _ONE)
        skin = _sheet(abs(fat), _MEMBRANE, sharp)
        inside_wall = min(max(_HALF - wall * sharp, _ZERO), _ONE)
        inside_lumen = min(max(_HALF - row[LUMEN, k] * sharp, _ZERO), _ONE)
        inside_clot = min(max(_HALF - row[CLOT, k] * sharp, _ZERO), _ONE)
        flap = _sheet(np.sqrt(row[LEAFLET, k]), _LEAF, sharp)
        in_vessel = min(max(_HALF - distance[k] * sharp, _ZERO), _ONE)
        in_vessel_wall = min(max(_HALF - (distance[k] - _VESSEL_WALL) * sharp, _ZERO), _ONE)
        part = row[ARTERIAL, k]
        tissue = muscle + (arterial - muscle) * part + texture[k] * fibre * (_ONE - part)
        g = mount + (fat_level - mount) * inside_fat
        g = g + (membrane - g) * skin
        g = g + (tissue - g) * inside_wall
        g = g + row[SHADE, k] * shade
        g = g + (vessel_wall - g) * in_vessel_wall * (_ONE - inside_lumen)
        g = g + (vessel - g) * in_vessel * (_ONE - inside_lumen)
        hollow = lumen_level + row[SHADE, k] * shade
        hollow = hollow + (clot_level - lumen_level) * inside_clot
        hollow = hollow + (leaflet - hollow) * flap
        g = g + (hollow - g) * inside_lumen
        r = radius[k]
        g = g + (jar - g) * min(max(_HALF + (r - _JAR) * sharp, _ZERO), _ONE)
        g = g + (air - g) * min(max(_HALF + (r - _JAR - _JAR_WALL) * sharp, _ZERO), _ONE)
        out[k] = g


@kernel
def paint_spheres(spheres, zs, ys, xs, edge, image):  # type: ignore[no-untyped-def]
    """Paint small bright spheres over an image.

    Parameters
    ----------
    spheres : ndarray of float64, shape (n, 5)
        z, y, x, radius (mm), grey level.
    zs, ys, xs : ndarray of float64
        Positions of the tile's voxels (mm).
    edge : float
        Width (mm) over which an edge is blurred.
    image : ndarray of float32, shape (len(zs), len(ys), len(xs))
        Changed in place.
    """
    for s in range(spheres.shape[0]):
        g = spheres[s]
        r = g[3] + edge
        z0, z1 = _window(zs, g[0] - r, g[0] + r)
        y0, y1 = _window(ys, g[1] - r, g[1] + r)
        x0, x1 = _window(xs, g[2] - r, g[2] + r)
        for i in range(z0, z1):
            for j in range(y0, y1):
                for k in range(x0, x1):
                    pz, py, px = zs[i] - g[0], ys[j] - g[1], xs[k] - g[2]
                    d = math.sqrt(pz * pz + py * py + px * px) - g[3]
                    share = min(max(0.5 - d / edge, 0.0), 1.0)
                    image[i, j, k] += np.float32((g[4] - image[i, j, k]) * share)


@kernel
def _noise_plane(key, z, y, x, out):  # type: ignore[no-untyped-def]
    """Fill a plane with noise smoothed along y and x: exact integers.

    `z`, `y`, `x` are the global position of the plane's first voxel.
    """
    ny, nx = out.shape
    white = np.empty(nx + 2, np.int32)
    smooth = np.zeros((3, nx), np.int32)
    side, middle = np.int32(NOISE_SIDE), np.int32(NOISE_MIDDLE)
    for j in range(-1, ny + 1):
        h = row_key(key, z, y + j)
        low, high = np.uint32(h & _LOW), np.uint32(h >> _32)
        first = np.uint32((x - 1) & 0xFFFFFFFF)
        for k in range(nx + 2):
            v = hash_x(low, high, np.uint32(first + np.uint32(k)))
            total = (v & _BYTE) + ((v >> _8) & _BYTE) + ((v >> _16) & _BYTE) + (v >> _24)
            white[k] = np.int32(total) - _MEAN
        new = smooth[(j + 1) % 3]
        for k in range(nx):
            new[k] = side * (white[k] + white[k + 2]) + middle * white[k + 1]
        if j >= 1:
            before, here = smooth[(j - 1) % 3], smooth[j % 3]
            for k in range(nx):
                out[j - 1, k] = side * (before[k] + new[k]) + middle * here[k]


@kernel
def develop(image, key, origin, gain, rings, slabs, ring, weight, inside, out):  # type: ignore[no-untyped-def]
    """Add what the scanner adds, and round to 16 bits.

    Parameters
    ----------
    image : ndarray of float32, shape (nz, ny, nx)
    key : uint64
        Stream of the noise.
    origin : tuple of 3 int
        Global index of the first voxel.
    gain : float32
        Grey levels for one unit of the integer noise; 0 leaves noise and rings away.
    rings : ndarray of float32, shape (slabs, n)
        Ring artefacts: grey levels by scan (slab along z) and radius.
    slabs : ndarray of int64, shape (nz,)
        Slab of each plane.
    ring : ndarray of int32, shape (ny, nx)
        Column of `rings` before each voxel.
    weight : ndarray of float32, shape (ny, nx)
        Share of the column after it.
    inside : ndarray of bool, shape (ny, nx)
        Within the field of view; 0 is written elsewhere.
    out : ndarray of uint16, shape (nz, ny, nx)
        Written.
    """
    nz, ny, nx = image.shape
    top = np.float32(65535.0)
    noise = np.zeros((3, ny, nx), np.int32)
    side, middle = np.int32(NOISE_SIDE), np.int32(NOISE_MIDDLE)
    if gain > _ZERO:
        _noise_plane(key, origin[0] - 1, origin[1], origin[2], noise[0])
        _noise_plane(key, origin[0], origin[1], origin[2], noise[1])
    for i in range(nz):
        table = rings[slabs[i]]
        if gain > _ZERO:
            _noise_plane(key, origin[0] + i + 1, origin[1], origin[2], noise[(i + 2) % 3])
        before, here, after = noise[i % 3], noise[(i + 1) % 3], noise[(i + 2) % 3]
        for j in range(ny):
            for k in range(nx):
                n = side * (before[j, k] + after[j, k]) + middle * here[j, k]
                a = table[ring[j, k]]
                g = image[i, j, k] + np.float32(n) * gain
                g = g + (a + (table[ring[j, k] + np.int32(1)] - a) * weight[j, k])
                g = min(max(g + _HALF, _ZERO), top)
                out[i, j, k] = np.uint16(np.int32(g)) if inside[j, k] else np.uint16(0)


@kernel
def classify(fields, planes, rows, distance, inside, which, out):  # type: ignore[no-untyped-def]
    """Decide for every voxel's centre whether it lies in a structure.

    Parameters
    ----------
    fields, planes, rows, distance
        As for `compose`.
    inside : ndarray of bool, shape (ny, nx)
        Within the field of view.
    which : int
        Index into ``MASKS``.
    out : ndarray of bool, shape (nz, ny, nx)
        Written.
    """
    nz, ny, nx = distance.shape
    value = np.empty(fields.shape[0], np.float32)
    for i in range(nz):
        pz, wz = planes[0][i], planes[1][i]
        for j in range(ny):
            py, wy = rows[0][j], rows[1][j]
            for k in range(nx):
                for f in range(fields.shape[0]):  # in the order of `compose`: the same rounding
                    a = fields[f, pz, py, k]
                    a = a + (fields[f, pz + 1, py, k] - a) * wz
                    b = fields[f, pz, py + 1, k]
                    b = b + (fields[f, pz + 1, py + 1, k] - b) * wz
                    value[f] = a + (b - a) * wy
                lumen, vessel = value[LUMEN] < 0.0, distance[i, j, k] < 0.0
                solid = value[WALL] < 0.0 and not lumen and not vessel
                hit = True
                if which == 1:
                    flap = lumen and value[LEAFLET] < _LEAF * _LEAF
                    rim = not lumen and not vessel and distance[i, j, k] < _VESSEL_WALL
                    hit = solid or flap or rim or (lumen and value[CLOT] < 0.0)
                elif which == 2:
                    hit = solid and value[ARTERIAL] < 0.5
                elif which == 3:
                    hit = vessel and not lumen
                elif which == 4:
                    hit = value[CHAMBER] < 0.0
                elif which == 5:
                    hit = lumen and value[CLOT] < 0.0
                elif which == 6:
                    hit = value[FAT] < 0.0 and not value[WALL] < 0.0 and not vessel and not lumen
                out[i, j, k] = hit and inside[j, k]
