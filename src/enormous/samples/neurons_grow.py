"""Grow neurons: branching chains of spheres that keep out of each other's way.

Called by :mod:`enormous.samples.neurons`, which imports it lazily (numba) and
turns each node and its parent into one tube. Growth runs once per seed, over
the whole field of view, whatever the shape of the array. The rule is a
persistent random walk that avoids what is there: a tip tries a few directions
and takes the one that is both straight on and far from its neighbours.

Random numbers are hashed from a counter and no libm function is called, so a
seed gives the same neurons on every platform.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enormous.samples._field import device, kernel, mix64, unit

#: Neighbours are looked up in cubes of this edge, and seen up to this distance (micrometres).
BUCKET = 1.5
#: Nodes thicker than this are looked up in a list of their own (micrometres).
STOUT = 1.0
#: Directions that a tip tries before each step.
TRIES = 7
#: Random points of which a process takes the roomiest to start from.
VOID_TRIES = 12
#: Random points of which a soma takes the one farthest from the others.
SOMA_TRIES = 6
#: Spines (micrometres): least length of the neck and its spread, its radius, least radius of
#: the head and its spread.
NECK, NECK_RADIUS, HEAD = (0.25, 0.35), 0.08, (0.14, 0.12)
#: Branches that may wait for their turn in one neurite.
PENDING = 128


class Kind(NamedTuple):
    """How one kind of process grows; lengths in micrometres, rates per micrometre."""

    radius: float  #: at the start
    final: float  #: radius that it tapers to
    taper: float  #: share of ``radius - final`` lost per micrometre
    branch: float  #: branching rate
    spine: float  #: spine rate
    wander: float  #: size of the random turn beside a straight unit step
    avoid: float  #: weight of clearance beside straightness
    uneven: float  #: relative change of the radius from node to node
    length: float  #: most that one tip grows
    tight: float  #: a tip stops where fewer radii than this are free
    void: float  #: a process does not start where less than this is free


class Cell(NamedTuple):
    """How a cell body and its dendrites grow; lengths in micrometres."""

    radius: float  #: of the soma, 15 % more or less
    inset: float  #: its centre is at least this far inside the room
    apical: Kind  #: the one dendrite in line with the soma
    basal: Kind  #: the others, pointing away from it
    basals: int  #: how many


class Forest(NamedTuple):
    """The nodes grown so far, and the buckets that find them.

    Attributes
    ----------
    node : (capacity, 4) float64, z, y, x and radius in micrometres
    parent : (capacity,) int32, -1 for the first node of a neuron
    label : (capacity,) int32
    chain : (capacity,) int32, next node of the same bucket or of the stout list
    head : (cells z, y, x) int32, first node of each bucket
    used : (2,) int64, how many nodes, and the first node of the stout list
    low, high : (3,) float64, the corners of the room to grow in
    stream : (2,) uint64, key and counter of the random numbers
    """

    node: NDArray[np.float64]
    parent: NDArray[np.int32]
    label: NDArray[np.int32]
    chain: NDArray[np.int32]
    head: NDArray[np.int32]
    used: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    stream: NDArray[np.uint64]


def new_forest(
    low: NDArray[np.float64], high: NDArray[np.float64], key: np.uint64, capacity: int
) -> Forest:
    """Return an empty forest for at most ``capacity`` nodes between two corners."""
    cells = [int((b - a) / BUCKET) + 1 for a, b in zip(low, high, strict=True)]
    return Forest(
        np.zeros((capacity, 4)),
        np.full(capacity, -1, np.int32),
        np.zeros(capacity, np.int32),
        np.full(capacity, -1, np.int32),
        np.full(cells, -1, np.int32),
        np.array([0, -1], np.int64),
        low,
        high,
        np.array([key, 0], np.uint64),
    )


@device
def _random(f):  # type: ignore[no-untyped-def]
    f.stream[1] += np.uint64(1)
    return unit(mix64(f.stream[0] + f.stream[1] * np.uint64(0x9E3779B97F4A7C15)))


@device
def _random_in_ball(f):  # type: ignore[no-untyped-def]
    while True:
        z, y, x = 2.0 * _random(f) - 1.0, 2.0 * _random(f) - 1.0, 2.0 * _random(f) - 1.0
        if z * z + y * y + x * x <= 1.0:
            return z, y, x


@device
def _unit_vector(z, y, x):  # type: ignore[no-untyped-def]
    n = np.sqrt(z * z + y * y + x * x) + 1e-12
    return z / n, y / n, x / n


@device
def _inside(f, z, y, x):  # type: ignore[no-untyped-def]
    return f.low[0] <= z <= f.high[0] and f.low[1] <= y <= f.high[1] and f.low[2] <= x <= f.high[2]


@kernel
def _add_node(f, z, y, x, radius, parent, label):  # type: ignore[no-untyped-def]
    """Add a node and return its index, or -1 where the forest is full."""
    i = f.used[0]
    if i >= len(f.node):
        return -1
    f.used[0] += 1
    f.node[i, 0], f.node[i, 1], f.node[i, 2], f.node[i, 3] = z, y, x, radius
    f.parent[i], f.label[i] = parent, label
    if radius > STOUT:
        f.chain[i] = f.used[1]
        f.used[1] = i
    elif _inside(f, z, y, x):
        c = (
            int((z - f.low[0]) / BUCKET),
            int((y - f.low[1]) / BUCKET),
            int((x - f.low[2]) / BUCKET),
        )
        f.chain[i] = f.head[c]
        f.head[c] = i
    return i


@device
def _room(f, i, z, y, x):  # type: ignore[no-untyped-def]
    ez, ey, ex = z - f.node[i, 0], y - f.node[i, 1], x - f.node[i, 2]
    return np.sqrt(ez * ez + ey * ey + ex * ex) - f.node[i, 3]


@kernel
def _clearance(f, z, y, x, label):  # type: ignore[no-untyped-def]
    """Return the distance to the nearest surface of another label, at most ``BUCKET``."""
    best = BUCKET
    i = f.used[1]
    while i >= 0:
        if f.label[i] != label:
            best = min(best, _room(f, i, z, y, x))
        i = f.chain[i]
    cz, cy, cx = (
        int((z - f.low[0]) / BUCKET),
        int((y - f.low[1]) / BUCKET),
        int((x - f.low[2]) / BUCKET),
    )
    for bz in range(max(cz - 1, 0), min(cz + 2, f.head.shape[0])):
        for by in range(max(cy - 1, 0), min(cy + 2, f.head.shape[1])):
            for bx in range(max(cx - 1, 0), min(cx + 2, f.head.shape[2])):
                i = f.head[bz, by, bx]
                while i >= 0:
                    if f.label[i] != label:
                        best = min(best, _room(f, i, z, y, x))
                    i = f.chain[i]
    return best


@device
def _random_point(f, inset):  # type: ignore[no-untyped-def]
    z = f.low[0] + inset + _random(f) * (f.high[0] - f.low[0] - 2.0 * inset)
    y = f.low[1] + inset + _random(f) * (f.high[1] - f.low[1] - 2.0 * inset)
    x = f.low[2] + inset + _random(f) * (f.high[2] - f.low[2] - 2.0 * inset)
    return z, y, x


@device
def _find_void(f):  # type: ignore[no-untyped-def]
    """Return the roomiest of a few random points, and its clearance."""
    best, bz, by, bx = -np.inf, 0.0, 0.0, 0.0
    for _ in range(VOID_TRIES):
        z, y, x = _random_point(f, 0.0)
        room = _clearance(f, z, y, x, -1)
        if room > best:
            best, bz, by, bx = room, z, y, x
    return best, bz, by, bx


@device
def _find_soma(f, inset):  # type: ignore[no-untyped-def]
    """Return the one of a few random points that is farthest from the somata there."""
    best, bz, by, bx = -np.inf, 0.0, 0.0, 0.0
    for _ in range(SOMA_TRIES):
        z, y, x = _random_point(f, inset)
        room = 1e6
        i = f.used[1]
        while i >= 0:
            room = min(room, _room(f, i, z, y, x))
            i = f.chain[i]
        if room > best:
            best, bz, by, bx = room, z, y, x
    return bz, by, bx


@kernel
def _best_step(f, z, y, x, uz, uy, ux, radius, step, label, k):  # type: ignore[no-untyped-def]
    """Try a few directions; return the best score, its clearance and its unit vector."""
    best, room, vz, vy, vx = -np.inf, 0.0, uz, uy, ux
    for _ in range(TRIES):
        rz, ry, rx = _random_in_ball(f)
        wz, wy, wx = _unit_vector(uz + k.wander * rz, uy + k.wander * ry, ux + k.wander * rx)
        free = _clearance(f, z + step * wz, y + step * wy, x + step * wx, label)
        score = k.avoid * min(free - radius, radius) + uz * wz + uy * wy + ux * wx
        if score > best:
            best, room, vz, vy, vx = score, free, wz, wy, wx
    return room, vz, vy, vx


@kernel
def _add_spine(f, i, uz, uy, ux, label):  # type: ignore[no-untyped-def]
    """A thin neck and a head at right angles to the shaft, where there is room."""
    rz, ry, rx = _random_in_ball(f)
    dot = rz * uz + ry * uy + rx * ux
    sz, sy, sx = _unit_vector(rz - dot * uz, ry - dot * uy, rx - dot * ux)
    z, y, x, r = f.node[i, 0], f.node[i, 1], f.node[i, 2], f.node[i, 3]
    neck = r + NECK[0] + NECK[1] * _random(f)
    head = HEAD[0] + HEAD[1] * _random(f)
    far = neck + NECK[0]
    if _clearance(f, z + far * sz, y + far * sy, x + far * sx, label) < head:
        return
    j = _add_node(f, z + neck * sz, y + neck * sy, x + neck * sx, NECK_RADIUS, i, label)
    if j >= 0:
        _add_node(f, z + far * sz, y + far * sy, x + far * sx, head, j, label)


@kernel
def _grow(f, start, uz, uy, ux, k, size, label):  # type: ignore[no-untyped-def]
    """Grow one process, with its branches, from a node along a direction, ``size`` times as thick.

    A tip stops outside the room, at its full length, or where its best step
    is too tight.
    """
    tip = np.empty((PENDING, 6))
    tip[0, 0], tip[0, 1], tip[0, 2], tip[0, 3] = start, uz, uy, ux
    tip[0, 4], tip[0, 5] = size * k.radius, k.length
    final, waiting = size * k.final, 1
    while waiting > 0:
        waiting -= 1
        i = int(tip[waiting, 0])
        uz, uy, ux = tip[waiting, 1], tip[waiting, 2], tip[waiting, 3]
        base, left = tip[waiting, 4], tip[waiting, 5]
        while left > 0.0:
            step = min(max(1.2 * base, 0.3), 0.8)
            z, y, x = f.node[i, 0], f.node[i, 1], f.node[i, 2]
            room, uz, uy, ux = _best_step(f, z, y, x, uz, uy, ux, base, step, label, k)
            if room < k.tight * base:
                break
            radius = base * (1.0 + k.uneven * (2.0 * _random(f) - 1.0))
            z, y, x = z + step * uz, y + step * uy, x + step * ux
            i = _add_node(f, z, y, x, radius, i, label)
            left -= step
            if i < 0 or not _inside(f, z, y, x):
                break
            base -= (base - final) * k.taper * step
            if _random(f) < k.spine * step:
                _add_spine(f, i, uz, uy, ux, label)
            if _random(f) < k.branch * step and waiting < PENDING - 1 and left > 2.0:
                rz, ry, rx = _random_in_ball(f)
                bz, by, bx = _unit_vector(uz + 1.3 * rz, uy + 1.3 * ry, ux + 1.3 * rx)
                base = final + 0.85 * (base - final)
                tip[waiting, 0], tip[waiting, 1], tip[waiting, 2] = i, bz, by
                tip[waiting, 3], tip[waiting, 4], tip[waiting, 5] = bx, base, left
                waiting += 1


@kernel
def grow_passing(f, k, label):  # type: ignore[no-untyped-def]
    """Grow a process both ways from a void; return whether there was room for it."""
    room, z, y, x = _find_void(f)
    if room < k.void:
        return False
    size = 0.7 + 0.6 * _random(f)
    i = _add_node(f, z, y, x, min(size * k.radius, room), -1, label)
    uz, uy, ux = _unit_vector(*_random_in_ball(f))
    _grow(f, i, uz, uy, ux, k, size, label)
    _grow(f, i, -uz, -uy, -ux, k, size, label)
    return True


@kernel
def grow_cell(f, cell, label):  # type: ignore[no-untyped-def]
    """Grow a cell body and its dendrites; return the index of the soma's node."""
    z, y, x = _find_soma(f, cell.inset)
    uz, uy, ux = _unit_vector(*_random_in_ball(f))
    radius = cell.radius * (0.85 + 0.3 * _random(f))
    soma = _add_node(f, z, y, x, radius, -1, label)
    back = 0.3 * radius
    _add_node(f, z - back * uz, y - back * uy, x - back * ux, 0.8 * radius, soma, label)
    # the soma narrows to the apical dendrite: a pyramidal cell
    i, thick, along, step = soma, radius, 0.0, 0.5 * radius
    while i >= 0 and thick > cell.apical.radius:
        along += step
        thick = max(0.74 * thick, cell.apical.radius)
        i = _add_node(f, z + along * uz, y + along * uy, x + along * ux, thick, i, label)
        step = max(0.4 * thick, 0.4)
    _grow(f, i, uz, uy, ux, cell.apical, 1.0, label)
    for _ in range(cell.basals):
        vz, vy, vx = _unit_vector(*_random_in_ball(f))
        dot = vz * uz + vy * uy + vx * ux
        if dot > 0.3:  # mirrored away from the apical side
            vz, vy, vx = vz - 2.0 * dot * uz, vy - 2.0 * dot * uy, vx - 2.0 * dot * ux
        out = 0.75 * radius
        j = _add_node(f, z + out * vz, y + out * vy, x + out * vx, 0.3 * radius, soma, label)
        _grow(f, j, vz, vy, vx, cell.basal, 1.0, label)
    return soma


@kernel
def alive(f, fov, count):  # type: ignore[no-untyped-def]
    """Tell which labels ``0 .. count`` own some ground inside the field of view.

    A label does where at least one of its nodes lies inside and is covered by
    no thicker neighbour.
    """
    found = np.zeros(count + 1, np.bool_)
    for i in range(f.used[0]):
        z, y, x, radius = f.node[i, 0], f.node[i, 1], f.node[i, 2], f.node[i, 3]
        inside = 0.0 < z < fov[0] and 0.0 < y < fov[1] and 0.0 < x < fov[2]
        if inside and not found[f.label[i]]:
            found[f.label[i]] = _clearance(f, z, y, x, f.label[i]) > -radius
    return found
