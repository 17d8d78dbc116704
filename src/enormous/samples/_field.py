"""Seeded fields in space: the arithmetic shared by the sample generators.

Called by the kernels of :mod:`enormous.samples.heart` and
:mod:`enormous.samples.neurons`. A sample must come out bit for bit the same on
every platform and for every chunking, so a value here depends on nothing but
the seed and the global position: integers are hashed (no generator with a
state), and floats see only ``+ - * /`` and ``sqrt``, which IEEE 754 rounds
exactly. There is no libm, no ``fastmath`` and no sum whose order depends on
the block.

The module imports numba: import it only where a sample is made.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@lru_cache
def _digest(family: str) -> str:
    """Return a digest of the sources from which the kernels of a sample are compiled."""
    folder = Path(__file__).parent
    sources = [Path(__file__), *sorted(folder.glob(f"{family}*.py"))]
    return sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel: no GIL (threads run side by side), one thread, cached on disk.

    Numba's cache sees that the file of a kernel changed, but not the file of a
    function it calls; it would go on running the old one. It does look at the
    values a function closes over, so each kernel closes over a digest of this
    module and of those named like its own (``heart*.py`` for ``heart_kernels``).

    Parameters
    ----------
    function : callable
        A plain function (no closure of its own).

    Returns
    -------
    numba dispatcher
    """
    code = function.__code__.replace(co_freevars=("sources",))
    family = function.__module__.rpartition(".")[2].partition("_")[0]
    cell = (CellType(_digest(family or "_field")),)
    closed = FunctionType(code, function.__globals__, function.__name__, None, cell)
    closed.__qualname__, closed.__doc__ = function.__qualname__, function.__doc__
    closed.__module__ = function.__module__
    return njit(nogil=True, cache=True, error_model="numpy")(closed)


#: Decorator of small functions that numba inlines into a kernel.
device: Any = njit(inline="never", nogil=True, error_model="numpy")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_Y_KEY = np.uint64(0xD1B54A32D192ED03)
_X_KEY = np.uint64(0x8CB92BA72F3D8DD7)
_U30, _U27, _U31, _U11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_LOW_A = np.uint32(0x7FEB352D)
_LOW_B = np.uint32(0x846CA68B)
_STEP = np.uint32(0x9E3779B1)
_S16, _S15 = np.uint32(16), np.uint32(15)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53: exact, so that unit() rounds nothing


@device
def mix64(value):  # type: ignore[no-untyped-def]
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).

    Parameters
    ----------
    value : uint64

    Returns
    -------
    uint64
        A bijection of `value`; every output bit depends on every input bit.
    """
    h = np.uint64(value)
    h = (h ^ (h >> _U30)) * _MIX_A
    h = (h ^ (h >> _U27)) * _MIX_B
    return h ^ (h >> _U31)


@device
def hash3(key, z, y, x):  # type: ignore[no-untyped-def]
    """Hash a lattice point.

    Parameters
    ----------
    key : uint64
        Stream: see :func:`stream`.
    z, y, x : int64
        Any integers, negative ones included.

    Returns
    -------
    uint64
    """
    return mix64(
        np.uint64(key) + np.uint64(z) * _GOLDEN + np.uint64(y) * _Y_KEY + np.uint64(x) * _X_KEY
    )


@device
def row_key(key, z, y):  # type: ignore[no-untyped-def]
    """Hash all but the last axis once per row; :func:`hash_x` does the rest per voxel.

    Parameters
    ----------
    key : uint64
    z, y : int64

    Returns
    -------
    uint64
    """
    return mix64(mix64(np.uint64(key) + np.uint64(z) * _GOLDEN) + np.uint64(y) * _Y_KEY)


@device
def hash_x(low, high, x):  # type: ignore[no-untyped-def]
    """Hash along a row with 32-bit multiplications only, which every SIMD unit has.

    Parameters
    ----------
    low, high : uint32
        The two halves of a :func:`row_key`. Both enter, so that two rows of
        one volume do not share values.
    x : uint32
        Index along the row (modulo 2**32).

    Returns
    -------
    uint32
        The constants are those of ``lowbias32`` (C. Wellons, hash-prospector).
    """
    h = np.uint32(np.uint32(x) * _STEP + low)
    h = np.uint32((h ^ (h >> _S16)) * _LOW_A)
    h = np.uint32((h ^ (h >> _S15) ^ high) * _LOW_B)
    return np.uint32(h ^ (h >> _S16))


@device
def unit(h):  # type: ignore[no-untyped-def]
    """Return the float64 in [0, 1) made of the upper 53 bits of a hash."""
    return np.float64(np.int64(np.uint64(h) >> _U11)) * _TO_UNIT


@device
def floor_int(value):  # type: ignore[no-untyped-def]
    """Return the largest int64 not above `value` (float64)."""
    i = np.int64(value)
    return i - 1 if value < i else i


@device
def fade(t):  # type: ignore[no-untyped-def]
    """Ease from 0 to 1 with zero slope and curvature at both ends (Perlin, SIGGRAPH 2002)."""
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


@device
def clamp01(value):  # type: ignore[no-untyped-def]
    """Clip a float to [0, 1]."""
    return min(max(value, 0.0), 1.0)


@device
def ramp(edge0, edge1, value):  # type: ignore[no-untyped-def]
    """Ease from 0 (at `edge0`) to 1 (at `edge1`): the cubic ``smoothstep``."""
    t = clamp01((value - edge0) / (edge1 - edge0))
    return t * t * (3.0 - 2.0 * t)


@device
def smooth_min(a, b, width):  # type: ignore[no-untyped-def]
    """Blend the smaller of two distances over `width` (quadratic polynomial; I. Quilez).

    Equal to ``min(a, b)`` where they differ by more than `width`, lower by at
    most ``width / 4`` where they are equal: a union with a filleted edge.
    """
    h = max(width - abs(a - b), 0.0) / width
    return min(a, b) - h * h * width * 0.25


@device
def value_noise(key, z, y, x):  # type: ignore[no-untyped-def]
    """Evaluate value noise: uniform values on the integer lattice, eased in between.

    Parameters
    ----------
    key : uint64
    z, y, x : float64
        Position in lattice units (a wavelength is about two units).

    Returns
    -------
    float64
        In [-1, 1]; continuous with continuous second derivatives.
    """
    iz, iy, ix = floor_int(z), floor_int(y), floor_int(x)
    tz, ty, tx = fade(z - iz), fade(y - iy), fade(x - ix)
    total = 0.0
    for dz in range(2):
        wz = tz if dz else 1.0 - tz
        for dy in range(2):
            wy = ty if dy else 1.0 - ty
            a = unit(hash3(key, iz + dz, iy + dy, ix))
            b = unit(hash3(key, iz + dz, iy + dy, ix + 1))
            total += wz * wy * (a + (b - a) * tx)
    return 2.0 * total - 1.0


@device
def gradient_noise(key, z, y, x):  # type: ignore[no-untyped-def]
    """Evaluate gradient noise: zero on the integer lattice, band-limited (Perlin 1985, 2002).

    Parameters
    ----------
    key : uint64
    z, y, x : float64
        Position in lattice units.

    Returns
    -------
    float64
        Within [-1, 1]; mean 0.
    """
    iz, iy, ix = floor_int(z), floor_int(y), floor_int(x)
    fz, fy, fx = z - iz, y - iy, x - ix
    tz, ty, tx = fade(fz), fade(fy), fade(fx)
    total = 0.0
    for corner in range(8):
        dz, dy, dx = corner >> 2, (corner >> 1) & 1, corner & 1
        h = np.int64(hash3(key, iz + dz, iy + dy, ix + dx) & np.uint64(0xFFFFFF))
        # a random direction: three signed bytes, centred so that none is zero
        gz = (h & 255) - 127.5
        gy = ((h >> 8) & 255) - 127.5
        gx = (h >> 16) - 127.5
        wz = tz if dz else 1.0 - tz
        wy = ty if dy else 1.0 - ty
        wx = tx if dx else 1.0 - tx
        total += wz * wy * wx * (gz * (fz - dz) + gy * (fy - dy) + gx * (fx - dx))
    return total * (1.0 / 191.25)


@device
def vector_noise(key, z, y, x):  # type: ignore[no-untyped-def]
    """Evaluate three independent gradient noises with the hashes of one.

    Parameters
    ----------
    key : uint64
    z, y, x : float64
        Position in lattice units.

    Returns
    -------
    tuple of 3 float64
        Each like :func:`gradient_noise`; for displacing space.
    """
    iz, iy, ix = floor_int(z), floor_int(y), floor_int(x)
    fz, fy, fx = z - iz, y - iy, x - ix
    tz, ty, tx = fade(fz), fade(fy), fade(fx)
    t0, t1, t2 = 0.0, 0.0, 0.0
    for corner in range(8):
        dz, dy, dx = corner >> 2, (corner >> 1) & 1, corner & 1
        h = np.int64(hash3(key, iz + dz, iy + dy, ix + dx) >> np.uint64(1))
        w = (tz if dz else 1.0 - tz) * (ty if dy else 1.0 - ty) * (tx if dx else 1.0 - tx)
        pz, py, px = fz - dz, fy - dy, fx - dx
        # nine signed numbers of seven bits, centred so that none is zero
        a0, a1, a2 = (h & 127) - 63.5, ((h >> 7) & 127) - 63.5, ((h >> 14) & 127) - 63.5
        b0, b1, b2 = ((h >> 21) & 127) - 63.5, ((h >> 28) & 127) - 63.5, ((h >> 35) & 127) - 63.5
        c0, c1, c2 = ((h >> 42) & 127) - 63.5, ((h >> 49) & 127) - 63.5, ((h >> 56) & 127) - 63.5
        t0 += w * (a0 * pz + a1 * py + a2 * px)
        t1 += w * (b0 * pz + b1 * py + b2 * px)
        t2 += w * (c0 * pz + c1 * py + c2 * px)
    return t0 * (1.0 / 95.25), t1 * (1.0 / 95.25), t2 * (1.0 / 95.25)


def stream(seed: int, name: int) -> np.uint64:
    """Derive the key of one independent stream of random numbers.

    Parameters
    ----------
    seed : int
        The user's seed; any Python integer (taken modulo 2**64).
    name : int
        Number of the stream: one per use, so that fields do not correlate.

    Returns
    -------
    uint64
    """
    mask = (1 << 64) - 1
    h = (seed & mask) ^ ((name + 1) * 0x9E3779B97F4A7C15 & mask)
    for multiplier in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        h = ((h ^ (h >> 29)) * multiplier) & mask
    return np.uint64(h ^ (h >> 32))


def centres(length: int, origin: int, size: int, extent: float) -> NDArray[np.float64]:
    """Return the physical positions of voxel centres along one axis.

    Parameters
    ----------
    length : int
        Voxels along the whole axis.
    origin, size : int
        First voxel and number of voxels wanted.
    extent : float
        Physical length of the axis (the unit of the result).

    Returns
    -------
    ndarray of float64, shape (size,)
        ``(i + 0.5) / length * extent``: the field of view is the same for
        every `length`.
    """
    index = np.arange(origin, origin + size, dtype=np.int64).astype(np.float64)
    return (index + 0.5) / float(length) * extent


def lattice_step(length: int, extent: float, spacing: float) -> int:
    """Return how many voxels lie between two nodes of a coarse lattice along one axis.

    Nodes stand on the voxels whose global index is a multiple of the step, so
    all blocks of one image share them; where voxels are coarser than `spacing`
    the step is 1 and a node is a voxel.

    Parameters
    ----------
    length : int
        Voxels along the axis.
    extent, spacing : float
        Length of the axis and wanted distance of nodes, in one unit.
    """
    return max(1, int(spacing * length / extent))
