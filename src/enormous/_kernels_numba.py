"""The compiled half of :mod:`enormous.kernels`, which alone imports it, at its first call.

Every kernel walks over the rows of the output. To each belong four rows of the input,
two planes by two rows; where the array ends or an axis is kept, the same row stands
for two, and the same voxel of a row for two. So a window always has eight values,
each voxel as often as any other, which changes none of mean, median, mode, largest
and smallest. (Means of floats alone do not repeat rows: sums of the same values in
another order round differently.)

Arrays come as addresses and strides, their rows without gaps: a view into a larger
array is walked over as it lies, and one compilation serves all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import (  # type: ignore[attr-defined]
    carray,
    njit,
    types,
)
from numba.extending import intrinsic

kernel: Any = njit(nogil=True, cache=True, error_model="numpy")
device: Any = njit(nogil=True, inline="always")


class Walk(NamedTuple):
    """Where two arrays (leading axis, z, y, x) lie in memory, and the factors between them."""

    source: int
    s_lead: int
    s_z: int
    s_y: int
    target: int
    t_lead: int
    t_z: int
    t_y: int
    lead: int
    nz: int
    ny: int
    nx: int
    mz: int
    my: int
    mx: int
    fz: int
    fy: int
    fx: int


def _as_pointer(typing_context, address, like):  # type: ignore[no-untyped-def]
    """Take a number for the address of what the array `like` is made of."""
    pointer: Any = types.CPointer
    signature = pointer(like.dtype)(types.intp, like)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


_pointer: Any = intrinsic(_as_pointer)


@device
def _rows(line, walk, like, goal):  # type: ignore[no-untyped-def]
    """The four input rows of an output row, and that row; C order in the window."""
    y = line % walk.my
    z = line // walk.my % walk.mz
    lead = line // walk.my // walk.mz
    first = walk.source + lead * walk.s_lead + z * walk.fz * walk.s_z + y * walk.fy * walk.s_y
    down = walk.s_z if z * walk.fz + walk.fz - 1 < walk.nz and walk.fz == 2 else 0
    along = walk.s_y if y * walk.fy + walk.fy - 1 < walk.ny and walk.fy == 2 else 0
    out = walk.target + lead * walk.t_lead + z * walk.t_z + y * walk.t_y
    return (
        carray(_pointer(first, like), (walk.nx,)),
        carray(_pointer(first + along, like), (walk.nx,)),
        carray(_pointer(first + down, like), (walk.nx,)),
        carray(_pointer(first + down + along, like), (walk.nx,)),
        carray(_pointer(out, goal), (walk.mx,)),
        along != 0,
        down != 0,
    )


@device
def _pairs(walk):  # type: ignore[no-untyped-def]
    """Output voxels of a row that have two input columns; the others have one, ``x * fx``."""
    return walk.nx // 2 if walk.fx == 2 else 0


@device
def _round(eighths, rest):  # type: ignore[no-untyped-def]
    """``eighths + rest / 8``, rounded half to even."""
    whole = eighths + (rest >> 3)
    return whole + (((rest & 7) + 3 + (whole & 1)) >> 3)


@kernel
def mean_int(walk, like, goal, eighths, rest):  # type: ignore[no-untyped-def]
    """Mean of integers: eighths are summed apart from what they leave, so nothing overflows."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        for x in range(walk.nx):
            eighths[x] = (a[x] >> 3) + (b[x] >> 3) + (c[x] >> 3) + (d[x] >> 3)
            rest[x] = (a[x] & 7) + (b[x] & 7) + (c[x] & 7) + (d[x] & 7)
        pairs = _pairs(walk)
        for x in range(pairs):
            out[x] = _round(eighths[2 * x] + eighths[2 * x + 1], rest[2 * x] + rest[2 * x + 1])
        for x in range(pairs, walk.mx):
            at = x * walk.fx
            out[x] = _round(eighths[at] + eighths[at], rest[at] + rest[at])


@device
def _add(row, walk, total, count):  # type: ignore[no-untyped-def]
    pairs = _pairs(walk)
    for x in range(pairs):
        v, w = row[2 * x], row[2 * x + 1]
        total[x] = (total[x] + (v if v == v else 0.0)) + (w if w == w else 0.0)
        count[x] += (1.0 if v == v else 0.0) + (1.0 if w == w else 0.0)
    for x in range(pairs, walk.mx):
        v = row[x * walk.fx]
        total[x] += v if v == v else 0.0
        count[x] += 1.0 if v == v else 0.0


@kernel
def mean_float(walk, like, goal, total, count):  # type: ignore[no-untyped-def]
    """Mean of floats, summed in float64 in C order; NaN is left out."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, two_rows, two_planes = _rows(line, walk, like, goal)
        total[:] = 0.0
        count[:] = 0.0
        _add(a, walk, total, count)
        if two_rows:
            _add(b, walk, total, count)
        if two_planes:
            _add(c, walk, total, count)
        if two_rows and two_planes:
            _add(d, walk, total, count)
        for x in range(walk.mx):
            out[x] = total[x] / count[x] if count[x] else np.nan


@device
def _larger(a, b):  # type: ignore[no-untyped-def]
    """The larger of two, and what is not NaN of one that is."""
    return b if b > a or a != a else a


@device
def _smaller(a, b):  # type: ignore[no-untyped-def]
    return b if b < a or a != a else a


@kernel
def largest(walk, like, goal, column):  # type: ignore[no-untyped-def]
    """Maximum; NaN is left out."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        for x in range(walk.nx):
            column[x] = _larger(_larger(a[x], b[x]), _larger(c[x], d[x]))
        pairs = _pairs(walk)
        for x in range(pairs):
            out[x] = _larger(column[2 * x], column[2 * x + 1])
        for x in range(pairs, walk.mx):
            out[x] = column[x * walk.fx]


@kernel
def smallest(walk, like, goal, column):  # type: ignore[no-untyped-def]
    """Minimum; NaN is left out."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        for x in range(walk.nx):
            column[x] = _smaller(_smaller(a[x], b[x]), _smaller(c[x], d[x]))
        pairs = _pairs(walk)
        for x in range(pairs):
            out[x] = _smaller(column[2 * x], column[2 * x + 1])
        for x in range(pairs, walk.mx):
            out[x] = column[x * walk.fx]


# numba's own min and max of two keep LLVM from vectorizing
@device
def _low(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@device
def _high(a, b):  # type: ignore[no-untyped-def]
    return a if a > b else b


@device
def _exchange(p, q, low, high, nx):  # type: ignore[no-untyped-def]
    """Smaller and larger of two rows, column by column; few arrays at a time vectorize."""
    for x in range(nx):
        one, other = p[x], q[x]
        low[x], high[x] = _low(one, other), _high(one, other)


@device
def _sort_columns(a, b, c, d, nx, s, t, u, v):  # type: ignore[no-untyped-def]
    """Sort four rows, column by column, into `s` (smallest) to `v` (largest)."""
    _exchange(a, b, s, t, nx)
    _exchange(c, d, u, v, nx)
    _exchange(s, u, s, u, nx)
    _exchange(t, v, t, v, nx)
    _exchange(t, u, t, u, nx)


@device
def _middle(s, t, u, v, i, j):  # type: ignore[no-untyped-def]
    """The fourth and the fifth of the eight values of two sorted columns.

    Of an ascending and a descending run, the smaller of each pair are the smaller half
    (K. E. Batcher, Sorting networks and their applications, 1968).
    """
    one = _high(_low(s[i], v[j]), _low(t[i], u[j]))
    two = _high(_low(u[i], t[j]), _low(v[i], s[j]))
    three = _low(_high(s[i], v[j]), _high(t[i], u[j]))
    four = _low(_high(u[i], t[j]), _high(v[i], s[j]))
    return _high(one, two), _low(three, four)


@device
def _between(lower, upper):  # type: ignore[no-untyped-def]
    """Mean of two integers, half to even; their sum might overflow."""
    whole = (lower & upper) + ((lower ^ upper) >> 1)
    return whole + ((lower ^ upper) & whole & 1)


@kernel
def median_int(walk, like, goal, s, t, u, v):  # type: ignore[no-untyped-def]
    """Median of integers: the mean of the two in the middle, half to even."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        _sort_columns(a, b, c, d, walk.nx, s, t, u, v)
        pairs = _pairs(walk)
        for x in range(pairs):
            lower, upper = _middle(s, t, u, v, 2 * x, 2 * x + 1)
            out[x] = _between(lower, upper)
        for x in range(pairs, walk.mx):
            lower, upper = _middle(s, t, u, v, x * walk.fx, x * walk.fx)
            out[x] = _between(lower, upper)


@kernel
def median_float(walk, like, goal, s, t, u, v):  # type: ignore[no-untyped-def]
    """Median of floats; NaN is left out, which only rows that have some pay for."""
    values = np.empty(8, like.dtype)
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        missing = 0
        for x in range(walk.nx):
            missing += (a[x] != a[x]) | (b[x] != b[x]) | (c[x] != c[x]) | (d[x] != d[x])
        pairs = _pairs(walk)
        if missing:
            for x in range(walk.mx):
                i = x * walk.fx
                count = _collect(a, b, c, d, i, i + 1 if x < pairs else i, values)
                values[:count].sort()
                lower, upper = values[max(count - 1, 0) // 2], values[count // 2]
                out[x] = (np.float64(lower) + np.float64(upper)) * 0.5 if count else np.nan
            continue
        _sort_columns(a, b, c, d, walk.nx, s, t, u, v)
        for x in range(pairs):
            lower, upper = _middle(s, t, u, v, 2 * x, 2 * x + 1)
            out[x] = (np.float64(lower) + np.float64(upper)) * 0.5
        for x in range(pairs, walk.mx):
            lower, upper = _middle(s, t, u, v, x * walk.fx, x * walk.fx)
            out[x] = (np.float64(lower) + np.float64(upper)) * 0.5


@device
def _collect(a, b, c, d, i, j, values):  # type: ignore[no-untyped-def]
    """Gather the values of a window that are not NaN; how many."""
    count = 0
    for at in (i, j):
        for value in (a[at], b[at], c[at], d[at]):
            if value == value:
                values[count] = value
                count += 1
    return count


@device
def _better(value, times, best, most):  # type: ignore[no-untyped-def]
    """The more frequent of two values, the smaller if both are; NaN occurs no time."""
    wins = (times > most) | ((times == most) & (value < best))
    return value if wins else best, times if wins else most


@device
def _most_frequent(a, b, c, d, e, f, g, h):  # type: ignore[no-untyped-def]
    """Mode of eight values; all are compared with all, which vectorizes, as branches do not."""
    ab, ac, ad, ae, af, ag, ah = a == b, a == c, a == d, a == e, a == f, a == g, a == h
    bc, bd, be, bf, bg, bh = b == c, b == d, b == e, b == f, b == g, b == h
    cd, ce, cf, cg, ch = c == d, c == e, c == f, c == g, c == h
    de, df, dg, dh = d == e, d == f, d == g, d == h
    ef, eg, eh, fg, fh, gh = e == f, e == g, e == h, f == g, f == h, g == h
    best, most = a, (a == a) + ab + ac + ad + ae + af + ag + ah
    best, most = _better(b, (b == b) + ab + bc + bd + be + bf + bg + bh, best, most)
    best, most = _better(c, (c == c) + ac + bc + cd + ce + cf + cg + ch, best, most)
    best, most = _better(d, (d == d) + ad + bd + cd + de + df + dg + dh, best, most)
    best, most = _better(e, (e == e) + ae + be + ce + de + ef + eg + eh, best, most)
    best, most = _better(f, (f == f) + af + bf + cf + df + ef + fg + fh, best, most)
    best, most = _better(g, (g == g) + ag + bg + cg + dg + eg + fg + gh, best, most)
    best, most = _better(h, (h == h) + ah + bh + ch + dh + eh + fh + gh, best, most)
    return best


@kernel
def mode(walk, like, goal):  # type: ignore[no-untyped-def]
    """Most frequent value, ties to the smaller; NaN is left out (it equals nothing)."""
    for line in range(walk.lead * walk.mz * walk.my):
        a, b, c, d, out, _, _ = _rows(line, walk, like, goal)
        first, others = a[0], 0
        for x in range(walk.nx):
            others += (a[x] != first) | (b[x] != first) | (c[x] != first) | (d[x] != first)
        if not others:  # background, or inside a large object
            out[:] = first
            continue
        pairs = _pairs(walk)
        for x in range(pairs):
            i, j = 2 * x, 2 * x + 1
            out[x] = _most_frequent(a[i], a[j], b[i], b[j], c[i], c[j], d[i], d[j])
        for x in range(pairs, walk.mx):
            i = x * walk.fx
            out[x] = _most_frequent(a[i], a[i], b[i], b[i], c[i], c[i], d[i], d[i])
