"""Exact percentiles of an array that is read in pieces, in bounded memory.

Radix selection: values become unsigned keys of the same order, and a histogram of 16 bits
of the key at a time tells which of its bins holds the wanted rank. Eight and 16 bits take
one pass over the array, 32 two, 64 four. Called by :mod:`enormous.create.finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 16


def percentiles(
    pieces: Callable[[], Iterable[NDArray[Any]]], fractions: Sequence[float]
) -> tuple[float, ...] | None:
    """The values below which these fractions of all values lie (the nearest rank).

    Parameters
    ----------
    pieces : callable
        Gives the array in pieces, all of one dtype; called once for each pass. NaN is left out.
    fractions : sequence of float
        Each from 0 to 1.

    Returns
    -------
    tuple of float, or None
        Values of the array; None if it has none.
    """
    bits, ranks = 0, [0] * len(fractions)
    prefixes: list[int] = []
    kind: np.dtype[Any] | None = None
    width = _BITS
    while kind is None or bits < width:
        histograms: dict[int, NDArray[np.int64]] = {p: _empty() for p in prefixes or [0]}
        for piece in pieces():
            kind = piece.dtype
            width = max(_BITS, 8 * kind.itemsize)
            _count(_keys(piece), width, bits, histograms)
        if kind is None:
            return None
        if not prefixes:
            total = int(histograms[0].sum())
            if total == 0:
                return None
            prefixes = [0] * len(fractions)
            ranks = [min(total - 1, max(0, round(f * (total - 1)))) for f in fractions]
        for i, prefix in enumerate(prefixes):
            upto = np.cumsum(histograms[prefix])
            place = int(np.searchsorted(upto, ranks[i], side="right"))
            ranks[i] -= int(upto[place - 1]) if place else 0
            prefixes[i] = (prefix << _BITS) | place
        bits += _BITS
    return tuple(_value(prefix, kind) for prefix in prefixes)


def _empty() -> NDArray[np.int64]:
    return np.zeros(1 << _BITS, np.int64)


def _count(
    keys: NDArray[Any], width: int, bits: int, histograms: dict[int, NDArray[np.int64]]
) -> None:
    """Add the next 16 bits of the keys that begin with each prefix."""
    shift = width - bits - _BITS
    digit = (keys >> keys.dtype.type(shift)) if shift else keys
    for prefix, histogram in histograms.items():
        these = digit
        if bits:
            these = digit[(digit >> digit.dtype.type(_BITS)) == prefix]
        low = (these & these.dtype.type(0xFFFF)).astype(np.uint16)
        histogram += np.bincount(low, minlength=1 << _BITS)


def _keys(piece: NDArray[Any]) -> NDArray[Any]:
    """Unsigned integers in the order of the values; NaN left out, 16 bits at least."""
    flat = np.ascontiguousarray(piece).reshape(-1)
    bits: NDArray[Any]
    if flat.dtype.kind == "f":
        flat = flat[~np.isnan(flat)]
        bits = flat.view(f"u{flat.dtype.itemsize}")
        top = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
        # negative numbers: all bits turned, so that larger ones come first; others: the sign bit
        keys: NDArray[Any] = np.where(bits & top, ~bits, bits | top)
        return keys
    if flat.dtype.kind == "i":
        bits = flat.view(f"u{flat.dtype.itemsize}")
        bits = bits ^ bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    else:
        bits = flat.astype(np.uint8) if flat.dtype.kind == "b" else flat
    return bits.astype(np.uint16) if bits.dtype.itemsize == 1 else bits


def _value(key: int, kind: np.dtype[Any]) -> float:
    """The value whose key this is."""
    width = 8 * kind.itemsize
    if kind.kind == "f":
        top = 1 << (width - 1)
        bits = key ^ top if key & top else key ^ ((1 << width) - 1)
        return float(np.array(bits, f"u{kind.itemsize}").view(kind)[()])
    if kind.kind == "i":
        return float(key - (1 << (width - 1)))
    return float(key)
