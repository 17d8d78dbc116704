"""The samples dense and sparse: one field of view, any block alone, and the truth about it."""

from __future__ import annotations

import math
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous.errors import UsageError
from enormous.samples import neurons
from enormous.samples.fidelity import PUBLISHED, ratios

NAMES = ("dense", "sparse")
BLOCK = {"dense": neurons.dense_block, "sparse": neurons.sparse_block}
TINY = (64, 50, 50)
SMALL = (200, 156, 156)
FULL = neurons.FULL_SHAPE


def whole(name: str, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return BLOCK[name](shape, (0, 0, 0), shape, seed=seed)


@st.composite
def cuts(draw):
    """Draw an array (coarse or finer than published), a window in it, and a block of that."""
    shape = tuple(draw(st.integers(1, 60) | st.integers(200, 5000)) for _ in range(3))
    size = tuple(draw(st.integers(1, min(48, n))) for n in shape)
    origin = tuple(draw(st.integers(0, n - s)) for n, s in zip(shape, size, strict=True))
    start = tuple(draw(st.integers(0, s)) for s in size)
    stop = tuple(draw(st.integers(a, s)) for a, s in zip(start, size, strict=True))
    return shape, origin, size, start, stop


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(cut=cuts(), seed=st.sampled_from([0, 7]))
def test_a_block_alone_is_the_block_cut_from_a_larger_one(name, cut, seed):
    shape, origin, size, start, stop = cut
    larger = BLOCK[name](shape, origin, size, seed=seed)
    first = tuple(o + a for o, a in zip(origin, start, strict=True))
    length = tuple(b - a for a, b in zip(start, stop, strict=True))
    alone = BLOCK[name](shape, first, length, seed=seed)
    assert alone.dtype == np.uint16
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(alone, larger[window])


@pytest.mark.parametrize("name", NAMES)
def test_threads_agree_with_one_thread(name):
    neurons._grown.cache_clear()
    slabs = [(z, 0, 0) for z in range(0, 64, 16)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda o: BLOCK[name](TINY, o, (16, 50, 50)), slabs))
    assert neurons._grown.cache_info().misses == 1
    np.testing.assert_array_equal(np.concatenate(parts), whole(name, TINY))


@pytest.mark.parametrize(("name", "crc"), [("dense", 2804635903), ("sparse", 1472826944)])
def test_the_values_are_the_same_on_every_platform(name, crc):
    assert zlib.crc32(whole(name, TINY).astype("<u2").tobytes()) == crc


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "origin"),
    [
        (TINY, (20, 15, 5)),
        ((9, 300, 40), (0, 120, 10)),
        ((80600, 62900, 62900), (51000, 24000, 3000)),
    ],
)
def test_every_shape_shows_the_same_field_of_view(name, shape, origin):
    # with an odd factor, the middle one of the finer voxels has the same centre
    size = tuple(min(20, n - o) for n, o in zip(shape, origin, strict=True))
    coarse = BLOCK[name](shape, origin, size)
    fine = BLOCK[name](
        tuple(3 * n for n in shape), tuple(3 * o for o in origin), tuple(3 * s for s in size)
    )
    np.testing.assert_array_equal(fine[1::3, 1::3, 1::3], coarse)


@pytest.mark.parametrize("name", NAMES)
def test_each_voxel_has_the_label_of_the_nearest_tube(name):
    truth = neurons.truth(name, shape=TINY)
    tubes = np.concatenate(list(truth.skeletons.values()))
    labels = np.repeat(list(truth.skeletons), [len(s) for s in truth.skeletons.values()])
    image = whole(name, TINY)
    rng = np.random.default_rng(1)
    voxels = rng.integers(0, TINY, (300, 3))
    if name == "sparse":  # half of them inside a neuron
        voxels[:150] = rng.permutation(np.argwhere(image > 0))[:150]
    a, b = tubes[:, :3], tubes[:, 4:7]
    axis = b - a
    for voxel in voxels:
        point = (voxel + 0.5) * truth.voxel_size
        t = np.clip(((point - a) * axis).sum(1) / (axis * axis).sum(1), 0, 1)
        radius = tubes[:, 3] + t * (tubes[:, 7] - tubes[:, 3])
        distance = np.linalg.norm(point - a - t[:, None] * axis, axis=1) - radius
        nearest = labels[np.flatnonzero(distance <= distance.min() + 1e-9)].tolist()
        if name == "sparse" and distance.min() >= 0:
            nearest = [0]
        assert image[tuple(voxel)] in nearest


@pytest.mark.parametrize("name", NAMES)
def test_truth_counts_what_is_there(name):
    truth = neurons.truth(name, shape=SMALL)
    image = whole(name, SMALL)
    labels, counts = np.unique(image[image > 0], return_counts=True)
    assert dict(truth.voxels) == dict(zip(labels.tolist(), counts.tolist(), strict=True))
    assert set(truth.labels) == set(truth.skeletons)
    assert truth.background == np.mean(image == 0)
    share = sum(truth.volumes.values()) / math.prod(neurons.FIELD_OF_VIEW)
    assert share == pytest.approx(1 - truth.background)
    np.testing.assert_array_equal(
        neurons.mask(name, SMALL, (50, 0, 0), (9, 156, 156)), image[50:59] > 0
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [TINY, SMALL])
@pytest.mark.parametrize("seed", [0, 3])
def test_cell_bodies_are_landmarks(name, shape, seed):
    truth = neurons.truth(name, shape=shape, seed=seed)
    assert len(truth.somata) == {"dense": 4, "sparse": 1}[name]
    for label, centre in truth.somata.items():
        voxel = tuple(int(c / v) for c, v in zip(centre, truth.voxel_size, strict=True))
        assert BLOCK[name](shape, voxel, (1, 1, 1), seed=seed).item() == label


def test_dense_is_packed_with_neurites_of_plausible_calibre():
    truth = neurons.truth("dense", shape=SMALL)
    assert truth.background == 0
    calibre = {}
    for label in set(truth.labels) - set(truth.somata):
        skeleton = truth.skeletons[label]
        inside = np.all((skeleton[:, :3] > 0) & (skeleton[:, :3] < neurons.FIELD_OF_VIEW), axis=1)
        length = np.linalg.norm(skeleton[inside, 4:7] - skeleton[inside, :3], axis=1).sum()
        if length > 3:
            calibre[label] = 2 * math.sqrt(truth.volumes[label] / length / math.pi)
    assert len(calibre) > 300
    low, middle, high = np.percentile(list(calibre.values()), [5, 50, 95])
    assert 0.3 < low < middle < high < 2.2
    assert 0.6 < middle < 1.4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_sparse_neuron_is_in_one_piece(seed):
    ndimage = pytest.importorskip("scipy.ndimage")
    image = whole("sparse", SMALL, seed)
    truth = neurons.truth("sparse", shape=SMALL, seed=seed)
    assert set(truth.labels) == set(truth.skeletons)
    assert max(truth.labels) <= neurons.PROOFREAD
    assert 0.93 < truth.background < 0.99
    for label, window in enumerate(ndimage.find_objects(image), 1):
        if window is not None:
            _, pieces = ndimage.label(image[window] == label, np.ones((3, 3, 3)))
            assert pieces == 1, label


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("origin", "size"), [((0, 0, 1), (4, 4, 4)), ((-1, 0, 0), (1, 1, 1)), ((0, 0, 0), (1, -1, 1))]
)
def test_a_block_outside_is_refused(name, origin, size):
    with pytest.raises(UsageError, match="outside an array of 4 voxels along"):
        BLOCK[name]((4, 4, 4), origin, size)


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="'heart'; take one of dense, sparse"):
        neurons.truth("heart")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_codecs_see_the_published_scan(name):
    measured = ratios(name)
    published = {codec: row[name] for codec, row in PUBLISHED.items()}
    for codec, ratio in measured.items():
        assert 1 / 1.5 < ratio / published[codec] < 1.5, codec
    assert max(measured, key=measured.__getitem__) == max(published, key=published.__getitem__)
    shuffles = [codec for codec in PUBLISHED if codec.startswith("blosc-zstd")]
    assert sorted(shuffles, key=measured.__getitem__) == sorted(shuffles, key=published.__getitem__)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("dense", 660), ("sparse", 13)])
def test_every_neuron_exists_at_full_size(name, count):
    truth = neurons.truth(name)
    assert len(truth.labels) == count
    assert set(truth.labels) == set(truth.skeletons)
    if name == "dense":
        assert truth.labels == tuple(range(1, count + 1))
