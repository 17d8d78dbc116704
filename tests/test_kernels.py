"""kernels.py against the definition, written with Fractions and Counters, window by window."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from enormous.errors import UsageError
from enormous.kernels import downsample

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def windows(block: NDArray[Any], factors: tuple[int, ...]) -> Any:
    shape = tuple(math.ceil(n / f) for n, f in zip(block.shape, factors, strict=True))
    for at in itertools.product(*map(range, shape)):
        cut = tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))
        yield at, [v for v in block[cut].ravel().tolist() if v == v]


def naive_mode(values: list[Any]) -> Any:
    counts = Counter(values)
    most = max(counts.values(), default=0)
    return min((v for v, n in counts.items() if n == most), default=math.nan)


@st.composite
def cases(draw: st.DrawFn, dtypes: list[str], few: bool = False) -> tuple[NDArray[Any], Any]:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    ndim = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    factors = draw(st.lists(st.sampled_from([1, 2]), min_size=ndim, max_size=ndim))
    if ndim == 4:
        factors[0] = 1
    labels = st.booleans() if dtype.kind == "b" else st.integers(0, 3)
    elements = labels if few else None
    block = draw(hnp.arrays(dtype, shape, elements=elements))
    order = draw(st.permutations(range(ndim)))
    return block.transpose(order), tuple(factors)


@settings(deadline=None)
@given(cases(INTEGERS))
def test_mean_of_integers_rounds_half_to_even(case: tuple[NDArray[Any], Any]) -> None:
    block, factors = case
    out = downsample(block, factors, "mean")
    assert out.dtype == block.dtype
    for at, values in windows(block, factors):
        assert out[at] == round(Fraction(sum(values), len(values)))


@settings(deadline=None)
@given(cases([*INTEGERS, "f4", "f8", "?"], few=True))
def test_mode_of_labels_gives_ties_to_the_smaller(case: tuple[NDArray[Any], Any]) -> None:
    block, factors = case
    out = downsample(block, factors, "mode")
    assert out.dtype == block.dtype
    for at, values in windows(block, factors):
        assert out[at] == naive_mode(values)


@settings(deadline=None)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(data=st.data())
def test_floats_ignore_nan(dtype: str, data: st.DataObject) -> None:
    numbers = st.floats(-1e6, 1e6, width=32)
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    block = data.draw(hnp.arrays(dtype, shape, elements=st.just(math.nan) | numbers))
    mean = downsample(block, (2, 2, 2), "mean")
    mode = downsample(block, (2, 2, 2), "mode")
    for at, values in windows(block, (2, 2, 2)):
        expected = math.fsum(values) / len(values) if values else math.nan
        np.testing.assert_allclose(mean[at], expected, rtol=2e-7, atol=1e-9)
        np.testing.assert_equal(mode[at], naive_mode(values))


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_the_largest_integers_do_not_overflow(dtype: str) -> None:
    for value in (np.iinfo(dtype).max, np.iinfo(dtype).min, np.iinfo(dtype).max - 1):
        block = np.full((2, 2, 2), value, dtype)
        assert downsample(block, (2, 2, 2), "mean").item() == value


def test_byte_order_does_not_change_values() -> None:
    block = np.arange(60, dtype=">u2").reshape(3, 4, 5)
    expected = downsample(block.astype("u2"), (2, 2, 2), "mean")
    np.testing.assert_array_equal(downsample(block, (2, 2, 2), "mean"), expected)


@pytest.mark.parametrize(
    ("factors", "method", "dtype", "says"),
    [
        ((2, 2, 2), "median", "u1", "use one of mean, mode"),
        ((2, 2), "mean", "u1", "3 axes"),
        ((2, 2, 3), "mean", "u1", "1 or 2"),
        ((2, 2, 2), "mean", "c8", "float32"),
        ((2, 2, 2), "mean", "f2", "float32"),
    ],
)
def test_wrong_calls_are_told_in_one_line(
    factors: tuple[int, ...], method: str, dtype: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as told:
        downsample(np.zeros((2, 2, 2), dtype), factors, method)
    assert "\n" not in str(told.value)


def test_leading_axes_are_kept() -> None:
    block = np.arange(2 * 3 * 4 * 4 * 4, dtype="u2").reshape(2, 3, 4, 4, 4)
    out = downsample(block, (1, 1, 2, 2, 2), "mean")
    for t, c in itertools.product(range(2), range(3)):
        np.testing.assert_array_equal(out[t, c], downsample(block[t, c], (2, 2, 2), "mean"))
    with pytest.raises(UsageError, match="last three"):
        downsample(block, (2, 1, 2, 2, 2), "mean")
