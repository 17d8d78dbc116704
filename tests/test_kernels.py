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
from enormous.kernels import METHODS, all_equal, downsample

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


def naive_median(values: list[Any]) -> Any:
    """For integers exact, for floats as float64."""
    if not values:
        return math.nan
    values = sorted(values)
    lower, upper = values[(len(values) - 1) // 2], values[len(values) // 2]
    return (lower + upper) * 0.5 if isinstance(lower, float) else round(Fraction(lower + upper, 2))


def naive_mean(values: list[Any]) -> Any:
    if not values:
        return math.nan
    if isinstance(values[0], float):
        return math.fsum(values) / len(values)
    return round(Fraction(sum(values), len(values)))


NAIVE: dict[str, Any] = {
    "mean": naive_mean,
    "mode": naive_mode,
    "median": naive_median,
    "max": lambda values: max(values, default=math.nan),
    "min": lambda values: min(values, default=math.nan),
}


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


def test_every_method_is_held_against_its_definition() -> None:
    assert {*NAIVE, "nearest"} == set(METHODS)


@pytest.mark.parametrize("method", NAIVE)
@settings(deadline=None)
@given(data=st.data())
def test_integers_follow_the_definition(method: str, data: st.DataObject) -> None:
    block, factors = data.draw(cases([*INTEGERS, "?"]) | cases([*INTEGERS, "?"], few=True))
    out = downsample(block, factors, method)
    assert out.dtype == block.dtype
    for at, values in windows(block, factors):
        assert out[at] == NAIVE[method]([int(v) for v in values])


@pytest.mark.parametrize("method", NAIVE)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_floats_follow_the_definition_and_ignore_nan(
    method: str, dtype: str, data: st.DataObject
) -> None:
    few = st.sampled_from([math.nan, -1.5, 0.0, 0.1, 2.0, math.inf])
    numbers = few if data.draw(st.booleans()) else st.just(math.nan) | st.floats(-6e4, 6e4)
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    factors = data.draw(st.tuples(*[st.sampled_from([1, 2, 2])] * 3))
    block = data.draw(hnp.arrays("f8", shape, elements=numbers)).astype(dtype)
    out = downsample(block, factors, method)
    assert out.dtype == block.dtype
    for at, values in windows(block, factors):
        expected = NAIVE[method](values)
        if dtype == "f8" and method == "mean":  # summed in C order, not exactly
            np.testing.assert_allclose(out[at], expected, rtol=1e-15 * 8, atol=1e-10)
        else:
            np.testing.assert_array_equal(out[at], np.dtype(dtype).type(expected))


@settings(deadline=None)
@given(cases([*INTEGERS, "?", "f2", "f4", ">f8", ">u2"]))
def test_nearest_is_the_first_voxel_of_each_window(case: tuple[NDArray[Any], Any]) -> None:
    block, factors = case
    out = downsample(block, factors, "nearest")
    assert (out.dtype, out.flags.c_contiguous) == (block.dtype.newbyteorder("="), True)
    for at in np.ndindex(out.shape):
        first = block[tuple(i * f for i, f in zip(at, factors, strict=True))]
        np.testing.assert_array_equal(out[at], first)


@pytest.mark.parametrize("method", METHODS)
def test_wide_rows_with_and_without_nan(method: str) -> None:
    """Rows long enough for the vectorized paths, and for what is left over after them."""
    random = np.random.default_rng(0)
    for dtype, width in itertools.product(["u1", "i2", "f4"], [64, 131]):
        block = random.integers(0, 5, (3, 4, width)).astype(dtype)
        if dtype == "f4":
            block[0, 0, width // 2] = math.nan
            block[2, :, 6:8] = math.nan
        out = downsample(block, (2, 2, 2), method)
        if method == "nearest":
            np.testing.assert_array_equal(out, block[::2, ::2, ::2])
            continue
        for at, values in windows(block, (2, 2, 2)):
            np.testing.assert_array_equal(out[at], np.dtype(dtype).type(NAIVE[method](values)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u2", ">i4", "f2", "f4", "?"])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_views_are_read_and_written_as_they_lie(
    method: str, dtype: str, data: st.DataObject
) -> None:
    """A piece of a larger array gives the same, and nothing beside the result is touched."""
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * 4))
    factors = (1, *data.draw(st.tuples(*[st.sampled_from([1, 2])] * 3)))
    whole = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 99, (9, 9, 9, 20))
    step = data.draw(st.sampled_from([(1, 1, 1, 1), (1, 2, 1, 1), (1, 1, 1, 2), (1, -1, 1, 1)]))
    cut = tuple(slice(None, None, s) for s in step)
    view = whole.astype(dtype)[cut][tuple(slice(0, n) for n in shape)]
    expected = downsample(view.copy(), factors, method)

    for order in ("rows", "columns"):
        larger = np.ones([n + 4 for n in expected.shape], expected.dtype)
        if order == "columns":
            larger = np.asfortranarray(larger)
        inside = tuple(slice(2, 2 + n) for n in expected.shape)
        out = larger[inside]
        assert downsample(view, factors, method, out=out) is out
        np.testing.assert_array_equal(larger[inside], expected)
        larger[inside] = 1
        assert (larger == 1).all()


def test_large_arrays_that_must_be_copied_go_slab_by_slab() -> None:
    block = np.random.default_rng(0).integers(0, 9, (1, 131, 64, 300)).astype(">u2")
    expected = downsample(block.astype("u2"), (1, 2, 2, 1), "mean")
    np.testing.assert_array_equal(downsample(block, (1, 2, 2, 1), "mean"), expected)
    turned = block.astype("u2").transpose(0, 3, 2, 1)  # rows with gaps
    expected = downsample(turned.copy(), (1, 2, 1, 2), "max")
    np.testing.assert_array_equal(downsample(turned, (1, 2, 1, 2), "max"), expected)


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
        ((2, 2, 2), "average", "u1", "use one of mean, mode, median, max, min, nearest"),
        ((2, 2), "mean", "u1", "3 axes"),
        ((2, 2, 3), "mean", "u1", "1 or 2"),
        ((2, 2, 2), "mean", "c8", "float32"),
        ((2, 2, 2), "nearest", "U1", "float32"),
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


@pytest.mark.parametrize(
    "out", [np.zeros((1, 1, 2), "u1"), np.zeros((1, 1, 1), "u2"), np.zeros((1, 1), "u1")]
)
def test_an_output_that_does_not_suit_is_refused(out: NDArray[Any]) -> None:
    block = np.zeros((2, 2, 2), "u1")
    with pytest.raises(UsageError, match=r"give a writeable array of \(1, 1, 1\), uint8"):
        downsample(block, (2, 2, 2), "mean", out=out)
    fixed = np.zeros((1, 1, 1), "u1")
    fixed.flags.writeable = False
    with pytest.raises(UsageError, match="writeable"):
        downsample(block, (2, 2, 2), "mean", out=fixed)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0), ()])
@pytest.mark.parametrize("method", METHODS)
def test_arrays_without_voxels_or_axes(shape: tuple[int, ...], method: str) -> None:
    block = np.ones(shape, "u2")
    out = downsample(block, (2,) * len(shape), method)
    assert out.shape == tuple(-(-n // 2) for n in shape)
    assert (out == 1).all()


VALUES: dict[str, list[Any]] = {
    "?": [False, True],
    "u1": [0, 255],
    ">i2": [0, -1],
    "u8": [0, 2**64 - 1],
    "f2": [0.0, -0.0, math.nan, 0.1],
    "<f4": [0.0, -0.0, math.nan, 0.1],
    ">f8": [0.0, -0.0, math.nan, math.inf, 0.1],
    "c8": [0j, 1 + 2j],
    "c16": [0j, 1 + 2j],
    "S3": [b"", b"abc"],
    "M8[s]": ["1970-01-01", "2000-01-01"],
}


@pytest.mark.parametrize("dtype", VALUES)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_all_equal_means_that_filling_restores_every_bit(dtype: str, data: st.DataObject) -> None:
    value, other = data.draw(st.permutations(VALUES[dtype]))[:2]
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    block = np.full([n + 2 for n in shape], other, dtype)
    inside = block[(..., *(slice(1, n + 1) for n in shape))]
    inside[...] = value
    view = inside.transpose(data.draw(st.permutations(range(len(shape)))))
    assert all_equal(view, value)
    assert all_equal(view, np.array(value, dtype)[()])
    if view.size:
        assert not all_equal(view, other)
        at = tuple(data.draw(st.integers(0, n - 1)) for n in view.shape)
        view[at] = other
        assert not all_equal(view, value)


def test_all_equal_finds_the_one_voxel_in_a_large_chunk() -> None:
    block = np.zeros((40, 130, 600), "u2")
    assert all_equal(block, 0)
    for at in [(0, 0, 0), (39, 129, 599), (20, 1, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]:
        block[at] = 1
        assert not all_equal(block, 0)
        block[at] = 0
    floats = np.full((3, 400, 400), np.nan, "f4")
    floats.view("u4")[0, 0, 1] = 0xFFC00001  # another NaN
    assert all_equal(floats, np.nan)
    floats[2, 399, 399] = 0
    assert not all_equal(floats, np.nan)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("u1", 256), ("u1", -1), ("i4", 0.5), ("u2", None), ("f4", [1, 2]), ("O", 0)],
)
def test_a_value_that_the_dtype_cannot_have(dtype: str, value: Any) -> None:
    with pytest.raises(UsageError, match="cannot have the value") as told:
        all_equal(np.zeros(3, dtype), value)
    assert "\n" not in str(told.value)
