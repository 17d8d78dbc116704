"""Rasterise a set of tapering tubes: the label of the nearest tube, for any block.

Called by :mod:`enormous.samples.neurons`, which imports it lazily (numba).

A tube table is float64 of shape (S, 9): start z, y, x; vector z, y, x;
1 / length^2 (0 for a ball); radius at the start; change of radius. All
lengths are in micrometres. The signed distance from a point to a tube is its
distance to the nearest point of the axis less the radius there: negative
inside. A voxel takes the label of the tube with the smallest signed distance:
an additively weighted Voronoi diagram of line segments (Aurenhammer, ACM
Comput. Surv. 1991). With ``ceiling = 0`` what lies outside every tube stays
background.

The answer at a voxel depends on its position alone: tubes are culled by
conservative bounds only, so every block, cut anyhow, is the same to the bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enormous.samples._field import device, kernel

#: Added to every bound, far above rounding error (micrometres).
SLACK = 1e-6
#: A box this many voxels wide or less is evaluated voxel by voxel.
LEAF = 3
#: Halvings that bring any 2**31 voxels down to a leaf, with room to spare.
DEPTH = 40


class Scene(NamedTuple):
    """Tubes, and a grid of cells that knows which of them can win where.

    Attributes
    ----------
    fov : (3,) float64, size of the field of view in micrometres
    tubes : (S, 9) float64
    labels : (S,) uint16
    ceiling : float, a voxel farther than this from every tube is background; 0 or infinity
    lipschitz : float, most that a signed distance changes per unit of way
    cells : (3,) int64, cells along z, y, x
    start : (cells + 1,) int64; cell ``c`` owns ``listed[start[c]:start[c + 1]]``
    listed : int32, indices of tubes, ascending within a cell
    """

    fov: NDArray[np.float64]
    tubes: NDArray[np.float64]
    labels: NDArray[np.uint16]
    ceiling: float
    lipschitz: float
    cells: NDArray[np.int64]
    start: NDArray[np.int64]
    listed: NDArray[np.int32]


@device
def _distance(tubes, s, z, y, x):  # type: ignore[no-untyped-def]
    """Signed distance from a point to tube ``s``, in micrometres."""
    qz, qy, qx = z - tubes[s, 0], y - tubes[s, 1], x - tubes[s, 2]
    dz, dy, dx = tubes[s, 3], tubes[s, 4], tubes[s, 5]
    t = (qz * dz + qy * dy + qx * dx) * tubes[s, 6]
    t = min(max(t, 0.0), 1.0)
    ez, ey, ex = qz - t * dz, qy - t * dy, qx - t * dx
    return np.sqrt(ez * ez + ey * ey + ex * ex) - (tubes[s, 7] + t * tubes[s, 8])


@device
def _cull(scene, kept, n, first, z, y, x, half, dist):  # type: ignore[no-untyped-def]
    """Copy to ``kept[first:]`` those of ``kept[first-n:first]`` that can win in a ball.

    The ball has centre ``z, y, x`` and radius ``half``. Returns their number
    and the smallest signed distance at the centre.
    """
    nearest = np.inf
    for k in range(n):
        d = _distance(scene.tubes, kept[first - n + k], z, y, x)
        dist[k] = d
        nearest = min(nearest, d)
    reach = half * scene.lipschitz + SLACK
    limit = min(nearest + reach, scene.ceiling) + reach
    m = 0
    for k in range(n):
        if dist[k] <= limit:
            kept[first + m] = kept[first - n + k]
            m += 1
    return m, nearest


@kernel
def _refine(scene, cells, ratio):  # type: ignore[no-untyped-def]
    """List the tubes of a grid ``ratio`` times finer than the scene's own.

    Returns ``start`` and ``listed`` as :class:`Scene` describes them.
    """
    nz, ny, nx = cells
    size = scene.fov / cells
    half = 0.5 * np.sqrt(size[0] * size[0] + size[1] * size[1] + size[2] * size[2])
    longest = _longest(scene)
    kept = np.empty(2 * longest, np.int32)
    dist = np.empty(longest, np.float64)
    start = np.zeros(nz * ny * nx + 1, np.int64)
    out = np.empty(max(1024, 2 * len(scene.listed)), np.int32)
    used, cell = 0, 0
    for iz in range(nz):
        for iy in range(ny):
            for ix in range(nx):
                n = _load(scene, iz // ratio, iy // ratio, ix // ratio, kept)
                z, y, x = (iz + 0.5) * size[0], (iy + 0.5) * size[1], (ix + 0.5) * size[2]
                m, _ = _cull(scene, kept, n, n, z, y, x, half, dist)
                if used + m > len(out):
                    more = np.empty(2 * len(out) + m, np.int32)
                    more[:used] = out[:used]
                    out = more
                out[used : used + m] = kept[n : n + m]
                used += m
                cell += 1
                start[cell] = used
    return start, out[:used].copy()


@device
def _longest(scene):  # type: ignore[no-untyped-def]
    """Length of the longest list of any cell, at least 1."""
    longest = 1
    for c in range(len(scene.start) - 1):
        longest = max(longest, scene.start[c + 1] - scene.start[c])
    return longest


@device
def _load(scene, iz, iy, ix, kept):  # type: ignore[no-untyped-def]
    """Copy a cell's list to the head of ``kept``; return its length."""
    c = (iz * scene.cells[1] + iy) * scene.cells[2] + ix
    first = scene.start[c]
    n = scene.start[c + 1] - first
    for k in range(n):
        kept[k] = scene.listed[first + k]
    return n


def build_scene(
    fov: NDArray[np.float64],
    tubes: NDArray[np.float64],
    labels: NDArray[np.uint16],
    ceiling: float,
    cells: tuple[int, int, int],
    ratios: tuple[int, ...],
) -> Scene:
    """Index tubes by cells, refining one grid after the other.

    Parameters
    ----------
    fov : (3,) float64
        Size of the field of view, micrometres.
    tubes, labels : (S, 9) float64 and (S,) uint16
    ceiling : float
        0 where there is background, else infinity.
    cells : (int, int, int)
        Cells of the first grid.
    ratios : tuple of int
        How much finer each following grid is.

    Returns
    -------
    Scene
    """
    length = np.sqrt(np.where(tubes[:, 6] > 0.0, 1.0 / np.maximum(tubes[:, 6], 1e-12), 1.0))
    taper = float(np.max(np.abs(tubes[:, 8]) / length))
    scene = Scene(
        fov,
        tubes,
        labels,
        ceiling,
        float(np.sqrt(1.0 + taper * taper)),
        np.ones(3, np.int64),
        np.array([0, len(tubes)], np.int64),
        np.arange(len(tubes), dtype=np.int32),
    )
    grid = np.array(cells, np.int64)
    ratio: Any = int(grid.max())  # every cell of the first grid lies in the one of the start
    for following in (*ratios, 0):
        start, listed = _refine(scene, grid, ratio)
        scene = scene._replace(cells=grid, start=start, listed=listed)
        grid, ratio = grid * following, following
    return scene


@device
def _position(i, n, length):  # type: ignore[no-untyped-def]
    return (i + 0.5) / n * length


@device
def _cell_edges(n, length, cells, first, size):  # type: ignore[no-untyped-def]
    """Where the voxels ``first .. first + size`` change cell (the end last), and the cells."""
    edges = np.empty(size + 1, np.int64)
    owner = np.empty(size, np.int64)
    count, last = 0, -1
    for i in range(first, first + size):
        c = min(int(_position(i, n, length) / length * cells), cells - 1)
        if c != last:
            edges[count] = i
            owner[count] = c
            count += 1
            last = c
    edges[count] = first + size
    return edges[: count + 1], owner[:count]


@device
def _fill_leaf(scene, out, box, origin, shape, kept, first, n):  # type: ignore[no-untyped-def]
    """Evaluate every voxel of a box against the ``n`` tubes ``kept[first:]``."""
    for i in range(box[0], box[1]):
        z = _position(i, shape[0], scene.fov[0])
        for j in range(box[2], box[3]):
            y = _position(j, shape[1], scene.fov[1])
            for k in range(box[4], box[5]):
                x = _position(k, shape[2], scene.fov[2])
                best, label = scene.ceiling, np.uint16(0)
                for c in range(first, first + n):
                    d = _distance(scene.tubes, kept[c], z, y, x)
                    if d < best:
                        best, label = d, scene.labels[kept[c]]
                out[i - origin[0], j - origin[1], k - origin[2]] = label


@device
def _one_label(labels, kept, first, n):  # type: ignore[no-untyped-def]
    for c in range(first + 1, first + n):
        if labels[kept[c]] != labels[kept[first]]:
            n = 0
    return n > 0


@device
def _fill_box(scene, out, origin, shape, kept, n, stack, dist):  # type: ignore[no-untyped-def]
    """Label the box ``stack[0]`` by halving it until one label is left or it is a leaf.

    Depth first: the list of a box lies in ``kept`` right before those of its
    parts, and is overwritten only when all its parts are done.
    """
    fov = scene.fov
    box = np.empty(8, np.int64)
    stack[0, 6], stack[0, 7] = n, n
    depth = 1
    while depth > 0:
        depth -= 1
        box[:] = stack[depth]
        n, first = box[6], box[7]
        z0, z1 = _position(box[0], shape[0], fov[0]), _position(box[1] - 1, shape[0], fov[0])
        y0, y1 = _position(box[2], shape[1], fov[1]), _position(box[3] - 1, shape[1], fov[1])
        x0, x1 = _position(box[4], shape[2], fov[2]), _position(box[5] - 1, shape[2], fov[2])
        hz, hy, hx = 0.5 * (z1 - z0), 0.5 * (y1 - y0), 0.5 * (x1 - x0)
        half = np.sqrt(hz * hz + hy * hy + hx * hx)
        m, nearest = _cull(scene, kept, n, first, z0 + hz, y0 + hy, x0 + hx, half, dist)
        if m == 0:
            continue  # background, there already
        full = nearest + half * scene.lipschitz + SLACK < scene.ceiling
        if full and _one_label(scene.labels, kept, first, m):
            label = scene.labels[kept[first]]
            for i in range(box[0] - origin[0], box[1] - origin[0]):
                for j in range(box[2] - origin[1], box[3] - origin[1]):
                    out[i, j, box[4] - origin[2] : box[5] - origin[2]] = label
        elif max(box[1] - box[0], box[3] - box[2], box[5] - box[4]) <= LEAF:
            _fill_leaf(scene, out, box, origin, shape, kept, first, m)
        else:
            depth = _push_halves(stack, depth, box, m, first + m)


@device
def _push_halves(stack, depth, box, n, first):  # type: ignore[no-untyped-def]
    """Push the parts of ``box``, halved on each axis longer than a leaf."""
    parts = np.empty((3, 3), np.int64)
    count = np.ones(3, np.int64)
    for a in range(3):
        lo, hi = box[2 * a], box[2 * a + 1]
        parts[a, 0], parts[a, 1], parts[a, 2] = lo, hi, hi
        if hi - lo > LEAF:
            parts[a, 1] = (lo + hi) // 2
            count[a] = 2
    for i in range(count[0]):
        for j in range(count[1]):
            for k in range(count[2]):
                stack[depth, 0], stack[depth, 1] = parts[0, i], parts[0, i + 1]
                stack[depth, 2], stack[depth, 3] = parts[1, j], parts[1, j + 1]
                stack[depth, 4], stack[depth, 5] = parts[2, k], parts[2, k + 1]
                stack[depth, 6], stack[depth, 7] = n, first
                depth += 1
    return depth


@kernel
def rasterise(scene, out, origin, shape):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the labels of a block.

    Parameters
    ----------
    scene : Scene
    out : (Z, Y, X) uint16
        Zeros on entry; its shape is the block's size.
    origin, shape : (3,) int64
        The block's first voxel, and the shape of the whole array.
    """
    fov, cells = scene.fov, scene.cells
    ez, oz = _cell_edges(shape[0], fov[0], cells[0], origin[0], out.shape[0])
    ey, oy = _cell_edges(shape[1], fov[1], cells[1], origin[1], out.shape[1])
    ex, ox = _cell_edges(shape[2], fov[2], cells[2], origin[2], out.shape[2])
    longest = _longest(scene)
    kept = np.empty(longest * DEPTH, np.int32)
    dist = np.empty(longest, np.float64)
    stack = np.empty((8 * DEPTH, 8), np.int64)
    for i in range(len(oz)):
        for j in range(len(oy)):
            for k in range(len(ox)):
                n = _load(scene, oz[i], oy[j], ox[k], kept)
                if n > 0:
                    stack[0, 0], stack[0, 1] = ez[i], ez[i + 1]
                    stack[0, 2], stack[0, 3] = ey[j], ey[j + 1]
                    stack[0, 4], stack[0, 5] = ex[k], ex[k + 1]
                    _fill_box(scene, out, origin, shape, kept, n, stack, dist)
