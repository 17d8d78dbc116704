"""Every stored level is what the definition says, whatever the layout and whoever made it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import enormous
from enormous.create import convert, stages
from enormous.engine.plan import Plan
from enormous.kernels import METHODS, downsample

pytestmark = pytest.mark.filterwarnings("ignore:.*how large a voxel is")

few = settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder and what is in it."""
    return {
        os.path.relpath(path, folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def level_by_level(voxels: NDArray[Any], plan: Plan) -> Iterator[NDArray[Any]]:
    """The definition: each level from the whole of the one above."""
    for level in plan.spec.target.levels:
        if level.path != "0":
            voxels = downsample(voxels, level.factors, plan.spec.target.method)
        yield voxels


def check_levels(out: Path, plan: Plan, voxels: NDArray[Any]) -> None:
    group = zarr.open_group(str(out), mode="r")
    for level, expected in zip(plan.spec.target.levels, level_by_level(voxels, plan), strict=True):
        np.testing.assert_array_equal(group[level.path], expected)


DTYPES = ("bool", "uint8", "int16", "uint16", "uint32", "int64", "uint64", "float32", "float64")


def voxels_of(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Noise with holes of zeros and, in floats, of NaN: empty chunks and odd windows."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        made = random.normal(size=shape).astype(kind)
        made[random.random(shape) < 0.1] = np.nan
    elif kind.kind == "b":
        made = random.random(shape) < 0.5
    else:
        info = np.iinfo(kind)
        made = random.integers(info.min, info.max, shape, kind, endpoint=True)
    made[tuple(slice(n // 2) for n in shape)] = 0
    return np.ascontiguousarray(made)


@st.composite
def layouts(draw: st.DrawFn, ndim: int) -> dict[str, Any]:
    """Chunks and shards of any kind, for both formats."""
    zarr_format = draw(st.sampled_from([2, 3, 3]))
    chunks = tuple(draw(st.sampled_from([1, 2, 3, 4, 5, 8])) for _ in range(ndim))
    kind = draw(st.sampled_from(["none", "halving", "forced"])) if zarr_format == 3 else "none"
    options: dict[str, Any] = {"zarr_format": zarr_format, "chunks": chunks}
    if kind == "none":
        options["shards"] = "none"
    elif kind == "forced":
        options["shards"] = tuple(c * draw(st.sampled_from([1, 2, 3])) for c in chunks)
    return options


@few
@given(data=st.data())
def test_levels_equal_the_definition(tmp_path: Path, data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3, 3, 3, 4, 5]), label="axes")
    space = tuple(data.draw(st.integers(1, 21)) for _ in range(min(ndim, 3)))
    shape = (*(data.draw(st.integers(1, 3)) for _ in range(ndim - 3)), *space)
    options = data.draw(layouts(ndim), label="layout")
    options["chunks"] = tuple(map(min, options["chunks"], shape))
    if isinstance(options.get("shards"), tuple):
        shards = options["shards"]
        options["shards"] = tuple(
            max(1, s // c) * c for s, c in zip(shards, options["chunks"], strict=True)
        )
    voxel = data.draw(st.sampled_from([1.0, (4.0, 1.0, 1.0), (0.5, 1.0, 2.0)]), label="voxel")
    if isinstance(voxel, tuple):
        voxel = voxel[-len(space) :]
    dtype = data.draw(st.sampled_from(DTYPES), label="dtype")
    method = data.draw(st.sampled_from(METHODS), label="method")
    voxels = voxels_of(shape, dtype, data.draw(st.integers(0, 99)))
    np.save(tmp_path / "scan.npy", voxels)
    out = tmp_path / "image.zarr"
    with pytest.MonkeyPatch.context() as patch:
        # tiny blocks and slabs, and now and then slabs in a file
        patch.setattr(stages, "BLOCK_BYTES", data.draw(st.sampled_from([1, 2000, 2**28])))
        patch.setattr(stages, "LEAST_SLAB_BYTES", data.draw(st.sampled_from([1, 2**25])))
        patch.setattr(stages, "SPOOL_BYTES", data.draw(st.sampled_from([0, 2**31, 2**31])))
        plan = convert.plan(
            tmp_path / "scan.npy",
            out,
            voxel_size=voxel,
            method=method,
            axes={2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}[ndim],
            overwrite=True,
            **options,
        )
    enormous.run(plan, scheduler="sync")
    check_levels(out, plan, voxels)
    kinds = {type(stage.detail).__name__ for stage in plan.stages}
    event(f"{len(plan.stages)} stages, {sorted(kinds)}")
    assert not [name for name in os.listdir(out) if name.startswith(".") and "z" not in name]
