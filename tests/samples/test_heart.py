"""The heart sample: the same everywhere, right where it can be checked, and a twin in weight."""

import itertools
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous import samples
from enormous.errors import UsageError
from enormous.samples import _field, heart
from enormous.samples.heart_develop import NOISE_MIDDLE, NOISE_SIDE

FULL, SMALL, TINY = (heart.SHAPES[name] for name in ("full", "small", "tiny"))
HALF = (100, 78, 78)  # half of `small`: fine enough for masks, and quick
ORIGIN = (0, 0, 0)


@pytest.fixture(scope="module")
def small():
    return heart.block(SMALL, ORIGIN, SMALL)


@pytest.fixture(scope="module")
def half():
    return heart.block(HALF, ORIGIN, HALF)


@pytest.fixture(scope="module")
def masks():
    return {
        name: heart.mask(HALF, ORIGIN, HALF, name)
        for name in ("fov", "tissue", "myocardium", "chambers", "clot", "fat")
    }


def radius(shape):
    """Distance (mm) of each voxel of a plane from the axis of rotation."""
    truth = heart.truth()
    y, x = (
        (np.arange(shape[a]) + 0.5) / shape[a] * truth.field_of_view[a] / 1000
        - truth.field_of_view[a] / 2000
        for a in (1, 2)
    )
    return np.hypot(y[:, None], x[None, :])


@st.composite
def blocks_in_blocks(draw):
    """A shape, a block of it, and a block of that block (relative)."""
    shape = draw(st.sampled_from([SMALL, TINY, (90, 41, 160), FULL, (1612, 900, 1258)]))
    size = [draw(st.integers(1, min(n, 40))) for n in shape]
    # the middle, where there is something to see
    origin = [
        draw(st.integers(n // 4, max(n // 4, n - n // 4 - s)))
        for n, s in zip(shape, size, strict=True)
    ]
    origin = [min(o, n - s) for o, n, s in zip(origin, shape, size, strict=True)]
    inner = [draw(st.integers(1, s)) for s in size]
    offset = [draw(st.integers(0, s - i)) for s, i in zip(size, inner, strict=True)]
    return shape, origin, size, offset, inner


@settings(max_examples=25, deadline=None)
@given(blocks_in_blocks(), st.booleans(), st.integers(0, 1), st.integers(0, 2))
def test_any_block_alone_is_the_block_of_the_whole(case, noise, channel, time):
    shape, origin, size, offset, inner = case
    options = {"noise": noise, "channel": channel, "time": time}
    whole = heart.block(shape, origin, size, **options)
    at = [o + d for o, d in zip(origin, offset, strict=True)]
    cut = tuple(slice(d, d + n) for d, n in zip(offset, inner, strict=True))
    assert np.array_equal(heart.block(shape, at, inner, **options), whole[cut])
    for name in ("tissue", "vessels", "chambers"):
        outer = heart.mask(shape, origin, size, name)
        assert np.array_equal(heart.mask(shape, at, inner, name), outer[cut])
    labels = heart.vessel_labels(shape, origin, size)
    assert np.array_equal(heart.vessel_labels(shape, at, inner), labels[cut])


def test_a_block_larger_than_a_tile_equals_its_pieces(small):
    # 129 rows: one more than a tile holds
    piece = heart.block(SMALL, (31, 0, 20), (3, 129, 136))
    assert np.array_equal(piece, small[31:34, 0:129, 20:156])


def test_threads_make_the_same(small):
    def plane(z):
        return heart.block(SMALL, (z, 0, 0), (1, *SMALL[1:]))[0]

    with ThreadPoolExecutor(4) as pool:
        planes = list(pool.map(plane, range(90, 102)))
    assert np.array_equal(np.stack(planes), small[90:102])


@pytest.mark.parametrize(
    ("options", "crc"),
    [
        ({}, 0x8AA7C2B9),
        ({"seed": 7}, 0x3CFDBB19),
        ({"noise": False}, 0xB3C9AA88),
        ({"channel": 1, "time": 2}, 0xC1E1E429),
    ],
)
def test_every_platform_makes_these_bytes(options, crc):
    tiny = heart.block(TINY, ORIGIN, TINY, **options).astype("<u2")
    assert zlib.crc32(tiny.tobytes()) == crc


def test_every_platform_makes_these_bytes_at_full():
    # fascicles, vessels, rings and the coarse lattice, none of which `tiny` has in full
    wall = heart.block(FULL, (470, 300, 200), (24, 40, 48)).astype("<u2")
    assert zlib.crc32(wall.tobytes()) == 0x5BD1E235


@pytest.mark.slow
def test_a_plain_processor_makes_these_bytes(tmp_path):
    """Compiled anew for the oldest x86-64 (or arm64), without the vector units of this machine."""
    code = (
        "import sys, zlib; from enormous.samples import heart;"
        "out = [heart.block(*b).astype('<u2') for b in (((64, 50, 50), (0, 0, 0), (64, 50, 50)),"
        "((806, 629, 629), (470, 300, 200), (24, 40, 48)))];"
        "print(*(zlib.crc32(b.tobytes()) for b in out))"
    )
    plain = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | plain, capture_output=True, text=True,
        check=True, timeout=600,
    )  # fmt: skip
    here = (heart.block(TINY, ORIGIN, TINY), heart.block(FULL, (470, 300, 200), (24, 40, 48)))
    assert run.stdout.split() == [str(zlib.crc32(b.astype("<u2").tobytes())) for b in here]


def test_larger_than_memory_is_made_all_the_same():
    shape = (10**6, 10**6, 10**6)
    origin = (7 * 10**5, 5 * 10**5, 55 * 10**4)
    block = heart.block(shape, origin, (5, 6, 70))
    assert np.array_equal(
        heart.block(shape, [o + 2 for o in origin], (2, 3, 9)), block[2:4, 2:5, 2:11]
    )
    assert block.std() > 100  # noise is there at every size


def test_coarse_and_fine_show_the_same_field_of_view(small, half):
    # 2**3 means of a shape twice as fine, against the shape itself
    mean = small.reshape(HALF[0], 2, HALF[1], 2, HALF[2], 2).mean(axis=(1, 3, 5))
    inside = radius(HALF) < 52
    assert np.corrcoef(mean[:, inside].ravel(), half[:, inside].ravel())[0, 1] > 0.95


def test_the_corners_are_constant_and_nothing_else_is(half, masks):
    outside = ~masks["fov"]
    assert not half[outside].any()
    assert half[masks["fov"]].min() > 0
    r = heart.truth().field_of_view_radius / 1000
    expected = 1 - np.pi * r * r / (heart.truth().field_of_view[1] / 1000) ** 2
    assert outside.mean() == pytest.approx(expected, abs=0.005)
    assert 0.27 < expected < 0.29


@pytest.mark.parametrize("shape", [SMALL, TINY])
def test_beads_are_where_the_truth_says(shape):
    image = heart.block(shape, ORIGIN, shape).astype(float)
    voxel = np.array(samples.voxel_size("heart", shape))
    beads = {k: v for k, v in heart.truth().landmarks.items() if k.startswith("bead")}
    assert len(beads) == 6
    for centre in beads.values():
        expected = np.array(centre) / voxel - 0.5
        half = np.ceil((heart.truth().bead_radius + voxel) / voxel).astype(int)
        low = np.maximum(np.round(expected).astype(int) - half, 0)
        box = image[tuple(slice(a, a + 2 * h + 1) for a, h in zip(low, half, strict=True))]
        weight = np.clip(box - np.median(box) - 5 * heart.truth().noise_sigma, 0, None)
        found = [
            (weight.sum(axis=tuple({0, 1, 2} - {a})) * np.arange(box.shape[a])).sum()
            for a in range(3)
        ]
        assert np.abs(np.array(found) / weight.sum() + low - expected).max() < 0.5


def test_masks_agree_with_the_grey_levels(masks):
    from scipy import ndimage

    clean = heart.block(HALF, ORIGIN, HALF, noise=False).astype(float)
    level = heart.truth().grey_levels
    lumen = masks["chambers"] & ~masks["clot"] & ~masks["tissue"]
    for mask, name in (
        (masks["myocardium"], "muscle"), (masks["clot"], "clot"), (lumen, "lumen"),
    ):  # fmt: skip
        core = ndimage.binary_erosion(mask, iterations=1)
        assert core.sum() > 1000
        assert np.median(clean[core]) == pytest.approx(level[name], abs=600)


def test_one_threshold_finds_the_tissue(half, masks):
    level = heart.truth().grey_levels
    found = half > (level["mount"] + level["muscle"]) / 2
    organ = radius(HALF) < 54  # without the jar
    found, true = found[:, organ], masks["tissue"][:, organ]
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.93


def test_masks_do_not_overlap_where_they_exclude_each_other(masks):
    assert not (masks["myocardium"] & masks["chambers"]).any()
    assert not (masks["fat"] & masks["myocardium"]).any()
    assert not (masks["fat"] & masks["chambers"]).any()
    assert not (masks["myocardium"] & ~masks["tissue"]).any()


def test_volumes_are_those_of_the_mask():
    truth = heart.truth()
    shape = truth.volume_shape
    voxel = np.prod(samples.voxel_size("heart", shape)) / 1e9
    chambers = heart.mask(shape, ORIGIN, shape, "chambers").sum() * voxel
    four = [v for k, v in truth.volumes.items() if k != "myocardium"]
    assert len(four) == 4
    assert chambers == pytest.approx(sum(four), rel=1e-9)
    assert all(15_000 < v < 90_000 for v in four)  # mm3: those of an adult
    assert 150_000 < truth.volumes["myocardium"] < 350_000


def test_noise_is_as_stated():
    # two time points share rings and anatomy: their difference is noise alone, twice
    at, size = (700, 60, 250), (40, 60, 60)
    first, second = (heart.block(FULL, at, size, time=t).astype(float) for t in (0, 1))
    noise = (first - second) / np.sqrt(2)
    assert abs(noise.mean()) < 10
    assert noise.std() == pytest.approx(heart.truth().noise_sigma, rel=0.02)
    a, b = NOISE_SIDE, NOISE_MIDDLE
    neighbour = 2 * a * b / (b * b + 2 * a * a)
    for axis in range(3):
        x, y = np.moveaxis(noise, axis, 0)[:-1], np.moveaxis(noise, axis, 0)[1:]
        assert np.corrcoef(x.ravel(), y.ravel())[0, 1] == pytest.approx(neighbour, abs=0.02)


def test_without_noise_the_image_is_smooth_and_the_same_each_time():
    at, size = (700, 60, 250), (6, 30, 30)
    quiet = heart.block(FULL, at, size, noise=False)
    assert np.array_equal(quiet, heart.block(FULL, at, size, noise=False, time=4))
    assert np.abs(np.diff(quiet.astype(int), axis=2)).max() < 200


def test_rings_are_circles_about_the_axis():
    # what noise=True adds, averaged along circles, stands out of what chance would leave
    z = 780
    size = (1, *FULL[1:])
    added = heart.block(FULL, (z, 0, 0), size).astype(float)[0]
    added -= heart.block(FULL, (z, 0, 0), size, noise=False)[0]
    index = (radius(FULL) / 0.2).astype(int)
    inside = radius(FULL) < 54
    count = np.bincount(index[inside])
    mean = np.bincount(index[inside], added[inside]) / np.maximum(count, 1)
    outer = slice(150, 265)  # beyond the central disc
    assert mean[outer].std() > 60
    assert added[inside].std() < 600


def test_contrast_agent_fills_the_lumen_and_washes_in(masks):
    lumen = masks["chambers"] & ~masks["clot"] & ~masks["tissue"]
    for channel in (0, 1):
        series = [heart.block(HALF, ORIGIN, HALF, channel=channel, time=t) for t in (0, 2, 6)]
        inside = [float(np.median(s[lumen])) for s in series]
        assert inside[0] + 1500 < inside[1] < inside[2] - 500
        muscle = [float(np.median(s[masks["myocardium"]])) for s in series]
        assert max(muscle) - min(muscle) < 100
    assert inside[0] > 4 * muscle[0]


def test_vessel_segments_are_where_the_truth_says():
    truth = heart.truth()
    assert set(np.unique(truth.segment_tree)) == set(range(1, truth.tree_count + 1))
    wide = np.flatnonzero(truth.segment_radii.min(axis=1) > 600)[::12]
    assert wide.size > 20
    right = 0
    for s in wide:
        middle = truth.segment_ends[s].mean(axis=0)
        voxel = (middle / np.array(samples.voxel_size("heart", FULL))).astype(int)
        label = int(heart.vessel_labels(FULL, voxel, (1, 1, 1))[0, 0, 0])
        assert label > 0
        right += label == truth.segment_tree[s]
    assert right >= 0.9 * wide.size  # trunks may touch each other


def test_vessel_trees_hang_together_and_taper():
    truth = heart.truth()
    child = np.flatnonzero(truth.segment_parent >= 0)
    parent = truth.segment_parent[child]
    assert (parent < child).all()
    assert np.array_equal(truth.segment_ends[child, 0], truth.segment_ends[parent, 1])
    assert np.array_equal(truth.segment_tree[child], truth.segment_tree[parent])
    assert (truth.segment_radii[child, 0] <= truth.segment_radii[parent, 1] * 1.0001).all()
    assert (truth.segment_radii[:, 1] <= truth.segment_radii[:, 0]).all()
    roots = truth.segment_ends[truth.segment_parent < 0, 0]
    ostia = [v for k, v in truth.landmarks.items() if k.startswith("ostium")]
    assert {tuple(r) for r in roots} == set(ostia)
    assert len(ostia) == truth.tree_count


@pytest.mark.parametrize("seed", [0, 1, 2, 3, -5, 2**70])
def test_every_seed_makes_a_heart_that_fits(seed):
    truth = heart.truth(seed)
    axis = np.array(truth.field_of_view[1:]) / 2
    reach = np.linalg.norm(truth.segment_ends[..., 1:] - axis, axis=-1).max()
    assert reach < 57_000  # within the jar
    assert all(
        0 < v[a] < truth.field_of_view[a] for v in truth.landmarks.values() for a in range(3)
    )
    labels = heart.vessel_labels(SMALL, (60, 0, 0), (60, *SMALL[1:]), seed=seed)
    assert set(np.unique(labels)) == {0, 1, 2, 3}


def test_seeds_differ():
    blocks = [heart.block(TINY, ORIGIN, TINY, seed=s, noise=False) for s in (0, 1, 256)]
    assert all((a != b).mean() > 0.2 for a, b in itertools.combinations(blocks, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: heart.block((0, 1, 1), ORIGIN, (1, 1, 1)), "positive"),
        (lambda: heart.block(TINY, (60, 0, 0), (5, 1, 1)), "does not lie within"),
        (lambda: heart.block(TINY, (-1, 0, 0), (5, 1, 1)), "does not lie within"),
        (lambda: heart.block(TINY, ORIGIN, (1, 1)), "three numbers"),
        (lambda: heart.block(TINY, ORIGIN, (1, 1, 1), channel=2), "choose 0 or 1"),
        (lambda: heart.block(TINY, ORIGIN, (1, 1, 1), time=-1), "choose 0 or later"),
        (lambda: heart.mask(TINY, ORIGIN, (1, 1, 1), "lung"), "choose from fov"),
    ],
)
def test_wrong_calls_say_what_to_do(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_kernels_close_over_their_sources():
    # numba's cache must notice a change in any file that a kernel calls into
    from enormous.samples import heart_kernels

    (cell,) = heart_kernels.lattice.py_func.__closure__
    assert cell.cell_contents == _field._digest("heart") != _field._digest("neurons")


def test_noises_are_centred_and_continuous():
    @numba.njit  # not cached: the cache remembers under which name this file was imported
    def sample(key, n, step):
        out = np.empty((n, 5))
        for i in range(n):
            p = -3.0 + i * step
            out[i, 0] = _field.value_noise(key, p, 0.3, 5.7)
            out[i, 1] = _field.gradient_noise(key, 0.4, p, -2.2)
            out[i, 2], out[i, 3], out[i, 4] = _field.vector_noise(key, 0.1, 0.6, p)
        return out

    values = sample(_field.stream(0, 99), 40_000, 0.02)
    assert np.abs(values.mean(axis=0)).max() < 0.05
    assert np.abs(values).max() <= 1
    assert np.abs(np.diff(values, axis=0)).max() < 0.09
    assert abs(np.corrcoef(values.T) - np.eye(5)).max() < 0.1


PUBLISHED = {
    ("zstd", 1): 1.88, ("zstd", 2): 1.79, ("zstd", 0): 1.54, ("lz4", 1): 1.52,
    ("lz4hc", 1): 1.75, ("zlib", 1): 1.88, ("blosclz", 1): 1.55, "zstd": 1.55, "gzip": 1.54,
}  # fmt: skip


@pytest.mark.slow
def test_it_compresses_like_the_real_scan():
    """Every seventh of the 175 chunks (in C order) stands for all: ratios agree within 1 %."""
    from numcodecs import Blosc, GZip, Zstd

    codecs = {k: Blosc(k[0], 3, k[1]) for k in PUBLISHED if isinstance(k, tuple)}
    codecs |= {"zstd": Zstd(3), "gzip": GZip(6)}
    stored = dict.fromkeys(PUBLISHED, 0)
    raw = 0
    origins = list(itertools.product(*(range(0, n, 128) for n in FULL)))
    assert len(origins) == 175
    for origin in origins[::7]:
        size = [min(128, n - o) for o, n in zip(origin, FULL, strict=True)]
        chunk = np.zeros((128, 128, 128), np.uint16)
        chunk[tuple(slice(0, s) for s in size)] = heart.block(FULL, origin, size)
        raw += 2 * int(np.prod(size))
        for name, codec in codecs.items():
            stored[name] += len(codec.encode(chunk))
    ratios = {name: raw / n for name, n in stored.items()}
    assert ratios == pytest.approx(PUBLISHED, rel=0.15)
