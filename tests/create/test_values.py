"""Windows lose less than half a step, masks are circles, and percentiles are exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enormous.create.percentiles import percentiles
from enormous.create.values import FieldOfView, Window, finite_range, to_window
from enormous.errors import UsageError

quick = settings(max_examples=60, deadline=None)

KINDS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


def drawn(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed"))
    if dtype == "bool":
        return random.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        made = (random.normal(size=shape) * data.draw(st.sampled_from([1, 100]))).astype(dtype)
        made[random.random(shape) < 0.1] = np.nan
        made[random.random(shape) < 0.02] = np.inf
        return made
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max, shape, np.dtype(dtype), endpoint=True)


@quick
@given(
    data=st.data(),
    dtype=st.sampled_from([*KINDS, *FLOATS]),
    to=st.sampled_from(["uint8", "uint16"]),
)
def test_a_window_can_be_turned_back_within_half_a_step(
    data: st.DataObject, dtype: str, to: str
) -> None:
    values = drawn(data, dtype, (3, 7, 5))
    low = data.draw(st.floats(-300, 300))
    window = Window(low, low + data.draw(st.floats(1e-3, 1e5)), to)
    stored, clipped = to_window(values, window)
    assert stored.dtype == to
    assert stored.shape == values.shape
    exact = values.astype(np.float64)
    back = window.low + stored * window.step
    slack = 1e-6 * window.step + 1e-12 * max(1, abs(low))  # float64 has no more digits
    half = window.step / 2
    inside = (exact >= window.low) & (exact <= window.high)
    assert np.all(np.abs(back - exact)[inside] <= half + slack)

    def beyond(distance: NDArray[Any]) -> tuple[int, int]:
        """How many lie out by more than half a step: surely, and at most."""
        return int(np.sum(distance > half + slack)), int(np.sum(distance > half - slack))

    # what is counted as clipped is what came out wrong by more than half a step
    least, most = beyond(window.low - exact)
    assert least <= clipped.below <= most
    least, most = beyond(exact - window.high)
    assert least <= clipped.above <= most
    assert clipped.nan == np.count_nonzero(np.isnan(exact))
    assert np.all(stored[np.isnan(exact)] == 0)
    assert np.all(stored[exact > window.high] == window.top)
    assert np.all(stored[exact < window.low] == 0)


def test_ties_round_to_even() -> None:
    values = np.array([[0.5, 1.5, 2.5, 3.5]])
    stored, _ = to_window(values, Window(0, 255, "uint8"))
    assert stored.tolist() == [[0, 2, 2, 4]]


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (1, 1, "uint8"),
        (2, 1, "uint8"),
        (0, math.inf, "uint8"),
        (math.nan, 1, "uint8"),
        (0, 1, "int16"),
        (0, 1, "float32"),
        (1e300, 1e300 + 1, "uint8"),
    ],
)
def test_windows_that_map_nothing_are_refused(low: float, high: float, dtype: str) -> None:
    with pytest.raises(UsageError):
        Window(low, high, dtype)


@quick
@given(ny=st.integers(1, 40), nx=st.integers(1, 40), data=st.data())
def test_the_field_of_view_is_the_inscribed_circle(ny: int, nx: int, data: st.DataObject) -> None:
    view = FieldOfView(ny, nx)
    y, x = np.ogrid[:ny, :nx]
    # twice everything, so that the comparison is exact
    inside = (2 * y - (ny - 1)) ** 2 + (2 * x - (nx - 1)) ** 2 <= min(ny, nx) ** 2
    assert view.outside == np.count_nonzero(~inside)
    top, left = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
    bottom, right = data.draw(st.integers(top + 1, ny)), data.draw(st.integers(left + 1, nx))
    box = (slice(top, bottom), slice(left, right))
    block = np.ones((2, box[0].stop - top, box[1].stop - left), np.uint8)
    view.mask(block, *box, 0)
    assert np.array_equal(block.astype(bool), np.broadcast_to(inside[box], block.shape))
    chunks = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    touched = {
        (i, j)
        for i in range(-(-ny // chunks[0]))
        for j in range(-(-nx // chunks[1]))
        if not inside[
            i * chunks[0] : (i + 1) * chunks[0], j * chunks[1] : (j + 1) * chunks[1]
        ].all()
    }
    assert set(view.touched(chunks)) == touched


def test_what_is_masked_does_not_count_as_clipped() -> None:
    view = FieldOfView(9, 9)
    block = np.full((1, 9, 9), -5.0)
    everything = slice(0, 9)
    _, clipped = to_window(block, Window(0, 1, "uint8"), view.rows(everything, everything))
    assert clipped.below == 81 - view.outside


@quick
@given(data=st.data(), dtype=st.sampled_from([*KINDS, *FLOATS]))
def test_percentiles_are_those_of_all_values(data: st.DataObject, dtype: str) -> None:
    values = drawn(data, dtype, (data.draw(st.integers(0, 300)),))
    parts = data.draw(st.integers(1, 5))
    fractions = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=3))

    def pieces() -> Iterable[NDArray[Any]]:
        return np.array_split(values, parts)

    known = np.sort(values[~np.isnan(values)] if values.dtype.kind == "f" else values)
    found = percentiles(pieces, fractions)
    if known.size == 0:
        assert found is None
        return
    wanted = [known[round(f * (known.size - 1))] for f in fractions]
    assert found == tuple(float(w) for w in wanted)


def test_the_range_of_values_leaves_out_what_is_not_finite() -> None:
    assert finite_range(np.array([[np.nan, 2, -1, np.inf]], np.float32)) == (-1, 2)
    assert finite_range(np.full((2, 2), np.nan)) is None
