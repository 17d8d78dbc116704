"""New levels for an image that is there: right, in its own manner, and safe at every moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import enormous
from enormous.create import pyramid, stages
from enormous.kernels import METHODS, downsample
from enormous.ome.inspect import inspect
from enormous.ome.validate import validate

few = settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def level_0(
    folder: Path,
    voxels: Any,
    *,
    path: str = "0",
    zarr_format: int = 3,
    axes: str = "zyx",
    more: dict[str, Any] | None = None,
    **array: Any,
) -> None:
    """An image of one level, as another program would write it."""
    kinds = {"t": "time", "c": "channel"}
    v3 = zarr_format == 3
    if v3:
        array["dimension_names"] = list(axes)
    ndim = voxels.ndim
    entry = {
        "axes": [{"name": a, "type": kinds.get(a, "space")} for a in axes],
        "datasets": [
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2.0] * ndim},
                    {"type": "translation", "translation": [7.0] * ndim},
                ],
            }
        ],
        "name": "theirs",
        "foreign": {"kept": True},
    }
    attributes: dict[str, Any] = {"multiscales": [entry], **(more or {})}
    if v3:
        attributes = {"ome": {"version": "0.5", **attributes}, "theirs": 1}
    else:
        entry["version"] = "0.4"
    zarr.create_group(str(folder), zarr_format=zarr_format, attributes=attributes, overwrite=True)
    created = zarr.create_array(
        str(folder / path), shape=voxels.shape, dtype=voxels.dtype, zarr_format=zarr_format, **array
    )
    created[...] = voxels


def expected_levels(plan: Any, voxels: Any) -> list[Any]:
    made = [voxels]
    for level in plan.spec.target.levels[1:]:
        made.append(downsample(made[-1], level.factors, plan.spec.target.method))
    return made


def check(folder: Path, plan: Any, voxels: Any) -> None:
    group = zarr.open_group(str(folder), mode="r")
    for level, expected in zip(plan.spec.target.levels, expected_levels(plan, voxels), strict=True):
        np.testing.assert_array_equal(group[level.path], expected)
    assert not [name for name in os.listdir(folder.parent) if name.startswith(".")]


@few
@given(data=st.data())
def test_new_levels_are_right_and_follow_level_0(tmp_path: Path, data: st.DataObject) -> None:
    zarr_format = data.draw(st.sampled_from([2, 3]))
    axes = data.draw(st.sampled_from(["yx", "zyx", "tyx", "czyx", "tczyx"]))
    shape = tuple(data.draw(st.integers(2 if a in "yx" else 1, 17)) for a in axes)
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    array: dict[str, Any] = {"chunks": chunks, "fill_value": data.draw(st.sampled_from([0, 3]))}
    if zarr_format == 3 and data.draw(st.booleans()):
        array["shards"] = tuple(c * data.draw(st.integers(1, 3)) for c in chunks)
    elif zarr_format == 2:
        separator = data.draw(st.sampled_from([".", "/"]))
        array["chunk_key_encoding"] = {"name": "v2", "separator": separator}
    voxels = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 9, shape, np.uint16)
    method = data.draw(st.sampled_from([None, *METHODS]))
    path = data.draw(st.sampled_from(["0", "s0", "full", "scale0/image"]))
    folder = tmp_path / "image.zarr"
    shutil.rmtree(folder, ignore_errors=True)
    level_0(folder, voxels, path=path, zarr_format=zarr_format, axes=axes, **array)
    before = zarr.open_array(str(folder / path), mode="r").metadata.to_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "BLOCK_BYTES", data.draw(st.sampled_from([1, 1000, 2**28])))
        plan = pyramid.plan(folder, method=method)
    enormous.run(plan, scheduler="sync")
    check(folder, plan, voxels)
    for level in plan.spec.target.levels[1:]:
        kept = zarr.open_array(str(folder / level.path), mode="r").metadata.to_dict()
        for key in ("dimension_names", "chunk_key_encoding", "dimension_separator", "fill_value"):
            assert kept.get(key) == before.get(key)
        space = [a in "zyx" for a in axes]
        assert all(f == 1 for f, s in zip(level.factors, space, strict=True) if not s)
    image = inspect(folder).images[0]
    for level in image.levels:
        assert level.scale is not None
        moved = [0 if method == "nearest" else (s - 2.0) / 2 for s in level.scale]
        assert level.translation == tuple(7.0 + m for m in moved)
    # level 0 has the separator it has, and the others follow
    faults = [fault for fault in validate(folder).faults if fault.rule != "separator"]
    assert not [fault for fault in faults if fault.severity == "error"]
