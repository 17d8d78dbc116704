"""The kernels that draw the heart sample's shapes, one tile at a time.

Called by :mod:`enormous.samples.heart` alone, before those of
:mod:`enormous.samples.heart_develop`, which turn shapes into grey. What is
smooth is evaluated on a coarse lattice fixed in the image's own voxel grid and
interpolated; what is small (vessels, muscle fascicles) is drawn into its
bounding box.

Every voxel depends on its global position alone, and drawn things are added in
one global order: tiles of any size agree bit for bit.
"""

import math

import numpy as np

from enormous.samples._field import (
    device,
    gradient_noise,
    hash3,
    kernel,
    unit,
    value_noise,
)
from enormous.samples.heart_anatomy import (
    ARTERIAL,
    CHAMBER,
    CLOT,
    FAR_MM,
    FAT,
    FRAME,
    LEAFLET,
    LUMEN,
    WALL,
    anatomy,
    displace,
    solids,
)

#: Number of fields on the lattice: those of the anatomy, and the shade of grey.
FIELDS, SHADE = 8, 7
#: Distance (mm) of lattice nodes, where voxels are finer.
LATTICE_MM = 0.81
#: Distance (mm) of the cells that each may hold one fascicle; cells in a bin, per axis.
FASCICLE_CELL_MM, BIN_CELLS = 1.25, 6
BIN_MM = FASCICLE_CELL_MM * BIN_CELLS
#: Half axes (mm) of a fascicle: along the fibres, within the sheet, across it.
FASCICLE_MM = (3.2, 1.3, 0.4)
_E0, _E1, _E2 = (float(c) for c in FRAME[0])
_R0, _R1, _R2 = (float(c) for c in FRAME[1])
_F0, _F1, _F2 = (float(c) for c in FRAME[2])


@device
def _shade(key, a, z, y, x):  # type: ignore[no-untyped-def]
    """Return the texture of what lies at a node, in units of the table's shade level."""
    if a[CLOT] < 0.0:
        return 4.0 * gradient_noise(key, z / 5.0, y / 5.0, x / 5.0) + 1.5 * value_noise(
            key, z / 1.7, y / 1.7, x / 1.7
        )
    if a[LUMEN] < 0.0:
        return 0.25 * value_noise(key, z / 8.0, y / 8.0, x / 8.0)
    if a[WALL] < 0.0:
        return 0.9 * value_noise(key, z / 7.0, y / 7.0, x / 7.0) + 0.8 * gradient_noise(
            key, z / 2.2, y / 2.2, x / 2.2
        )
    if a[FAT] < 0.0:  # septa between lobules
        ridge = max(1.0 - 6.0 * abs(gradient_noise(key, z / 5.5, y / 5.5, x / 5.5)), 0.0)
        return 2.6 * ridge * ridge + 0.6 * value_noise(key, z / 3.0, y / 3.0, x / 3.0)
    # crushed gel: patches with edges, of uneven density
    gel = gradient_noise(key, z / 12.0, y / 12.0, x / 12.0)
    dense = value_noise(key, z / 26.0, y / 26.0, x / 26.0)
    return 0.3 * min(max(gel * 12.0, -1.0), 1.0) + 3.0 * dense


@device
def _bin(found, z, y, x):  # type: ignore[no-untyped-def]
    """Return what `survey` found in the bin of a point (mm)."""
    bz = min(np.int64(z / BIN_MM), found.shape[0] - 1)
    by = min(np.int64(y / BIN_MM), found.shape[1] - 1)
    bx = min(np.int64(x / BIN_MM), found.shape[2] - 1)
    return found[bz, by, bx]


@kernel
def survey(key, bins, centre, reach):  # type: ignore[no-untyped-def]
    """Look once into each bin of the field of view, so that empty ones can be passed over.

    Parameters
    ----------
    key : uint64
    bins : tuple of 3 int
        Number of bins along z, y, x; their side is ``BIN_MM``.
    centre : tuple of 2 float64
        y, x of the axis of rotation (mm).
    reach : float
        Bins farther (mm) from that axis than this are empty.

    Returns
    -------
    ndarray of uint8, shape `bins`
        0: nothing but mount; 1: perhaps tissue; 2: perhaps muscle.
    """
    out = np.zeros(bins, np.uint8)
    for i in range(bins[0]):
        for j in range(bins[1]):
            y = (j + 0.5) * BIN_MM
            for k in range(bins[2]):
                x = (k + 0.5) * BIN_MM
                dy, dx = y - centre[0], x - centre[1]
                if dy * dy + dx * dx < (reach + BIN_MM) * (reach + BIN_MM):
                    a = anatomy(key, (i + 0.5) * BIN_MM, y, x)
                    # half a bin's diagonal is 0.87 of its side; displacement may stretch it
                    near = min(a[FAT], a[WALL]) < 1.4 * BIN_MM
                    out[i, j, k] = 2 if a[WALL] < 1.4 * BIN_MM else (1 if near else 0)
    return out


@kernel
def lattice(key, found, zs, ys, xs, centre, reach):  # type: ignore[no-untyped-def]
    """Evaluate the smooth fields at lattice nodes.

    Parameters
    ----------
    key : uint64
    found : ndarray of uint8
        From `survey`.
    zs, ys, xs : ndarray of float64
        Positions of the nodes (mm).
    centre : tuple of 2 float64
        y, x of the axis of rotation (mm).
    reach : float
        Nodes farther (mm) from that axis than this are not evaluated: nothing
        but the jar is there.

    Returns
    -------
    ndarray of float32, shape (FIELDS, len(zs), len(ys), len(xs))
    """
    out = np.empty((FIELDS, zs.size, ys.size, xs.size), np.float32)
    for i in range(zs.size):
        for j in range(ys.size):
            dy = ys[j] - centre[0]
            for k in range(xs.size):
                dx = xs[k] - centre[1]
                far = dy * dy + dx * dx > reach * reach
                a = (FAR_MM, FAR_MM, FAR_MM, FAR_MM, FAR_MM, 0.0, FAR_MM)
                if not far and _bin(found, zs[i], ys[j], xs[k]) > 0:
                    a = anatomy(key, zs[i], ys[j], xs[k])
                out[LUMEN, i, j, k] = a[LUMEN]
                out[WALL, i, j, k] = a[WALL]
                out[FAT, i, j, k] = a[FAT]
                out[LEAFLET, i, j, k] = a[LEAFLET]
                out[CLOT, i, j, k] = a[CLOT]
                out[ARTERIAL, i, j, k] = a[ARTERIAL]
                out[CHAMBER, i, j, k] = a[CHAMBER]
                out[SHADE, i, j, k] = 0.0
                if not far:
                    out[SHADE, i, j, k] = _shade(key + np.uint64(20), a, zs[i], ys[j], xs[k])
    return out


@kernel
def count_structures(key, found, zs, ys, xs, centre, reach):  # type: ignore[no-untyped-def]
    """Count the voxels whose centre lies in each chamber and in the muscle.

    Parameters
    ----------
    key, found, zs, ys, xs, centre, reach
        As for `lattice`, with the positions of voxels for nodes.

    Returns
    -------
    ndarray of int64, shape (5,)
        Left ventricle, left atrium, right atrium, right ventricle, muscle
        (coronary vessels included).
    """
    out = np.zeros(5, np.int64)
    for i in range(zs.size):
        for j in range(ys.size):
            dy = ys[j] - centre[0]
            for k in range(xs.size):
                dx = xs[k] - centre[1]
                if dy * dy + dx * dx >= reach * reach or _bin(found, zs[i], ys[j], xs[k]) == 0:
                    continue
                a = anatomy(key, zs[i], ys[j], xs[k])
                if a[CHAMBER] < 0.0:
                    z, y, x = displace(key, zs[i], ys[j], xs[k])
                    lumens = solids(key, z, y, x)[0]
                    for c, lumen in enumerate((lumens[1], lumens[3], lumens[4], lumens[5])):
                        if lumen == a[CHAMBER]:
                            out[c] += 1
                            break
                elif a[WALL] < 0.0 and a[LUMEN] >= 0.0 and a[ARTERIAL] < 0.5:
                    out[4] += 1
    return out


@kernel
def widen(nodes, index, weight):  # type: ignore[no-untyped-def]
    """Interpolate the last axis of a lattice linearly.

    Parameters
    ----------
    nodes : ndarray of float32, shape (FIELDS, a, b, c)
    index : ndarray of int64, shape (n,)
        Node before each voxel.
    weight : ndarray of float32, shape (n,)
        Share of the node after it.

    Returns
    -------
    ndarray of float32, shape (FIELDS, a, b, n)
    """
    out = np.empty((*nodes.shape[:3], index.size), np.float32)
    for f in range(nodes.shape[0]):
        for i in range(nodes.shape[1]):
            for j in range(nodes.shape[2]):
                row = nodes[f, i, j]
                for k in range(index.size):
                    a = row[index[k]]
                    out[f, i, j, k] = a + (row[index[k] + 1] - a) * weight[k]
    return out


@device
def _window(positions, low, high):  # type: ignore[no-untyped-def]
    """Return a range of indices that holds all positions within [low, high].

    The bounds are widened by a nanometre, so that rounding, which may differ
    from tile to tile, never leaves a voxel out; one too many adds nothing.
    """
    n = positions.size
    low, high = low - 1e-6, high + 1e-6
    step = (positions[n - 1] - positions[0]) / (n - 1) if n > 1 else 1.0
    first = np.int64(math.floor((low - positions[0]) / step))
    last = np.int64(math.ceil((high - positions[0]) / step))
    return max(first, 0), min(last + 1, n)


@kernel
def draw_vessels(table, labels, zs, ys, xs, margin, distance, nearest):  # type: ignore[no-untyped-def]
    """Lower a field of distances to the lumen of the nearest vessel.

    Parameters
    ----------
    table : ndarray of float64, shape (n, 8)
        Segments: z, y, x, radius at either end (mm).
    labels : ndarray of int64, shape (n,)
    zs, ys, xs : ndarray of float64
        Positions of the tile's voxels (mm).
    margin : float
        Distance (mm) from the lumen up to which the result matters.
    distance : ndarray of float32, shape (len(zs), len(ys), len(xs))
        Changed in place: the signed distance (mm), at most `margin`.
    nearest : ndarray of int32
        Changed in place: label of the nearest segment, of the shape of
        `distance`; or empty, where it is not wanted.

    Returns
    -------
    int
        Number of segments that touch the tile.
    """
    drawn = 0
    for s in range(table.shape[0]):
        g = table[s]
        r = max(g[3], g[7]) + margin
        z0, z1 = _window(zs, min(g[0], g[4]) - r, max(g[0], g[4]) + r)
        y0, y1 = _window(ys, min(g[1], g[5]) - r, max(g[1], g[5]) + r)
        x0, x1 = _window(xs, min(g[2], g[6]) - r, max(g[2], g[6]) + r)
        if z0 >= z1 or y0 >= y1 or x0 >= x1:
            continue
        drawn += 1
        az, ay, ax = g[4] - g[0], g[5] - g[1], g[6] - g[2]
        inverse = 1.0 / (az * az + ay * ay + ax * ax)
        taper = g[7] - g[3]
        for i in range(z0, z1):
            pz = zs[i] - g[0]
            for j in range(y0, y1):
                py = ys[j] - g[1]
                for k in range(x0, x1):
                    px = xs[k] - g[2]
                    t = min(max((pz * az + py * ay + px * ax) * inverse, 0.0), 1.0)
                    qz, qy, qx = pz - t * az, py - t * ay, px - t * ax
                    d = math.sqrt(qz * qz + qy * qy + qx * qx) - g[3] - t * taper
                    if d < distance[i, j, k]:
                        distance[i, j, k] = d
                        if nearest.size > 0:
                            nearest[i, j, k] = labels[s]
    return drawn


@device
def _fibre(key, cell, z, y, x, lumen, wall):  # type: ignore[no-untyped-def]
    """Return the directions of the fibres and across the sheet at a point of the wall.

    The fibres of the ventricles wind around them; their helix angle runs from
    +60 degrees at the lumen to -60 at the outside (Streeter et al., Circ. Res.
    24, 339, 1969). Half-angle formulas stand in for sine and cosine.
    """
    rz, ry, rx = displace(key, z, y, x)
    t = rz * _E0 + ry * _E1 + rx * _E2
    u = rz * _R0 + ry * _R1 + rx * _R2
    v = rz * _F0 + ry * _F1 + rx * _F2
    nt, nu, nv = (t - 15.0) / 4761.0, u / 1156.0, v / 1225.0
    if u > 34.0:
        nt, nu, nv = (t - 8.0) / 3600.0, (u - 28.0) / 841.0, (v - 4.0) / 1521.0
    size = math.sqrt(nt * nt + nu * nu + nv * nv) + 1e-9
    nt, nu, nv = nt / size, nu / size, nv / size
    # circumferential: long axis x normal; longitudinal: normal x circumferential
    size = math.sqrt(nu * nu + nv * nv) + 1e-9
    cu, cv = -nv / size, nu / size
    lt, lu, lv = nu * cv - nv * cu, -nt * cv, nt * cu
    depth = max(lumen, 0.0) / (max(lumen, 0.0) + max(-wall, 0.0) + 1e-9)
    wobble = unit(hash3(cell, 1, 1, 1)) - 0.5
    half = 0.577 * (1.0 - 2.0 * depth) + 0.25 * wobble
    c, s = (1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)
    ft, fu, fv = s * lt, c * cu + s * lu, c * cv + s * lv
    # across the sheet: between the normal and its perpendicular in the wall
    bt, bu, bv = fu * nv - fv * nu, fv * nt - ft * nv, ft * nu - fu * nt
    m = 0.55 if wobble > 0.0 else -0.55
    st, su, sv = 0.835 * bt + m * nt, 0.835 * bu + m * nu, 0.835 * bv + m * nv
    return (
        (ft * _E0 + fu * _R0 + fv * _F0, ft * _E1 + fu * _R1 + fv * _F1,
         ft * _E2 + fu * _R2 + fv * _F2),
        (st * _E0 + su * _R0 + sv * _F0, st * _E1 + su * _R1 + sv * _F1,
         st * _E2 + su * _R2 + sv * _F2),
    )  # fmt: skip


@kernel
def scatter_fascicles(key, found):  # type: ignore[no-untyped-def]
    """Place muscle fascicles in the wall, in the order in which they are drawn.

    Parameters
    ----------
    key : uint64
    found : ndarray of uint8
        From `survey`.

    Returns
    -------
    start : ndarray of int64, shape (number of bins + 1,)
        First fascicle of each bin, bins in C order.
    table : ndarray of float32, shape (n, 10)
        z, y, x (mm); direction of the fibres; direction across the sheet; amplitude.
    """
    bins = found.shape
    start = np.zeros(found.size + 1, np.int64)
    table = np.empty((1 << 16, 10), np.float32)
    n, b = 0, 0
    for bz in range(bins[0]):
        for by in range(bins[1]):
            for bx in range(bins[2]):
                for c in range(BIN_CELLS**3 if found[bz, by, bx] == 2 else 0):
                    iz = bz * BIN_CELLS + c // (BIN_CELLS * BIN_CELLS)
                    iy = by * BIN_CELLS + c // BIN_CELLS % BIN_CELLS
                    ix = bx * BIN_CELLS + c % BIN_CELLS
                    cell = hash3(key + np.uint64(40), iz, iy, ix)
                    z = (iz + unit(cell)) * FASCICLE_CELL_MM
                    y = (iy + unit(hash3(cell, 0, 0, 1))) * FASCICLE_CELL_MM
                    x = (ix + unit(hash3(cell, 0, 0, 2))) * FASCICLE_CELL_MM
                    a = anatomy(key, z, y, x)
                    if a[WALL] > 0.0 or a[LUMEN] < -0.5 or a[ARTERIAL] > 0.5:
                        continue
                    if n == table.shape[0]:
                        grown = np.empty((2 * n, 10), np.float32)
                        grown[:n] = table
                        table = grown
                    fibre, across = _fibre(key, cell, z, y, x, a[LUMEN], a[WALL])
                    row = table[n]
                    row[0], row[1], row[2] = z, y, x
                    row[3], row[4], row[5] = fibre
                    row[6], row[7], row[8] = across
                    row[9] = 2.0 * unit(hash3(cell, 0, 0, 3)) - 1.0
                    n += 1
                b += 1
                start[b] = n
    return start, table[:n].copy()


@device
def _bins(positions, reach, count):  # type: ignore[no-untyped-def]
    """Return the range of bins that holds all fascicles which may touch a tile."""
    first = np.int64(math.floor((positions[0] - reach) / BIN_MM))
    last = np.int64(math.floor((positions[positions.size - 1] + reach) / BIN_MM))
    return max(first, 0), min(last + 1, count)


@kernel
def draw_fascicles(start, table, bins, zs, ys, xs, voxel, texture):  # type: ignore[no-untyped-def]
    """Add the fascicles near a tile to its texture.

    Parameters
    ----------
    start, table
        From `scatter_fascicles`.
    bins : tuple of 3 int
    zs, ys, xs : ndarray of float64
        Positions of the tile's voxels (mm).
    voxel : float
        Voxel size (mm): a fascicle is blurred by it, its sum kept.
    texture : ndarray of float32, shape (len(zs), len(ys), len(xs))
        Changed in place.
    """
    blur = 0.36 * voxel * voxel
    a2, b2, c2 = (FASCICLE_MM[0] * FASCICLE_MM[0], FASCICLE_MM[1] * FASCICLE_MM[1],
                  FASCICLE_MM[2] * FASCICLE_MM[2])  # fmt: skip
    faint = math.sqrt(a2 * b2 * c2 / ((a2 + blur) * (b2 + blur) * (c2 + blur)))
    a2, b2, c2 = a2 + blur, b2 + blur, c2 + blur
    reach = math.sqrt(a2) + 1e-6
    z0, z1 = _bins(zs, reach, bins[0])
    y0, y1 = _bins(ys, reach, bins[1])
    x0, x1 = _bins(xs, reach, bins[2])
    for bz in range(z0, z1):
        for by in range(y0, y1):
            row = (bz * bins[1] + by) * bins[2]
            for s in range(start[row + x0], start[row + x1]):
                _draw_one(table[s], zs, ys, xs, a2, b2, c2, faint, texture)


@device
def _draw_one(f, zs, ys, xs, a2, b2, c2, faint, texture):  # type: ignore[no-untyped-def]
    fz, fy, fx = np.float64(f[3]), np.float64(f[4]), np.float64(f[5])
    sz, sy, sx = np.float64(f[6]), np.float64(f[7]), np.float64(f[8])
    wz, wy, wx = fy * sx - fx * sy, fx * sz - fz * sx, fz * sy - fy * sz
    hz = math.sqrt(a2 * fz * fz + b2 * wz * wz + c2 * sz * sz)
    hy = math.sqrt(a2 * fy * fy + b2 * wy * wy + c2 * sy * sy)
    z0, z1 = _window(zs, f[0] - hz, f[0] + hz)
    y0, y1 = _window(ys, f[1] - hy, f[1] + hy)
    a, b, c = 1.0 / a2, 1.0 / b2, 1.0 / c2
    qxx = a * fx * fx + b * wx * wx + c * sx * sx
    amplitude = f[9] * faint
    for i in range(z0, z1):
        oz = zs[i] - f[0]
        for j in range(y0, y1):
            oy = ys[j] - f[1]
            pf, pw, ps = fz * oz + fy * oy, wz * oz + wy * oy, sz * oz + sy * oy
            linear = a * pf * fx + b * pw * wx + c * ps * sx
            constant = a * pf * pf + b * pw * pw + c * ps * ps
            root = linear * linear - qxx * (constant - 1.0)
            if root <= 0.0:
                continue
            half = math.sqrt(root) / qxx
            middle = f[2] - linear / qxx
            x0, x1 = _window(xs, middle - half, middle + half)
            for k in range(x0, x1):
                ox = xs[k] - f[2]
                w = max(1.0 - (constant + ox * (2.0 * linear + ox * qxx)), 0.0)
                texture[i, j, k] += np.float32(amplitude * w * w)
