"""What two other validators find of the chapter's broken images, and what only ours finds.

The chapter on metadata says so in words. A peer that learns more makes a test fail here: then
change the chapter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from enormous.create import convert
from enormous.ome.validate import validate

Dataset = dict[str, Any]


def no_scale(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    del datasets[1]["coordinateTransformations"]


def far_too_large(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    step = datasets[2]["coordinateTransformations"][0]
    step["scale"] = [64 * s for s in step["scale"]]


def a_tenth_too_large(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    step = datasets[1]["coordinateTransformations"][0]
    step["scale"] = [1.1 * s for s in step["scale"]]


def two_channels(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    ome["omero"]["channels"] *= 2


def no_translation(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    for dataset in datasets:
        del dataset["coordinateTransformations"][1]


def wrong_translation(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    datasets[1]["coordinateTransformations"][1]["translation"] = [9, 9, 9]


def a_lie(ome: dict[str, Any], datasets: list[Dataset]) -> None:
    """All lengths 64 times too large: nothing contradicts it."""
    for dataset in datasets:
        for step in dataset["coordinateTransformations"]:
            step[step["type"]] = [64 * v for v in step[step["type"]]]


def without_a_level(path: Path) -> None:
    shutil.rmtree(path / "3")


def names_reversed(path: Path) -> None:
    node = path / "0" / "zarr.json"
    array = json.loads(node.read_text())
    array["dimension_names"].reverse()
    node.write_text(json.dumps(array))


def in_metadata(change: Callable[[dict[str, Any], list[Dataset]], None]) -> Callable[[Path], None]:
    def alter(path: Path) -> None:
        group = zarr.open_group(path, mode="r+")
        ome: dict[str, Any] = json.loads(json.dumps(group.attrs["ome"]))
        change(ome, ome["multiscales"][0]["datasets"])
        group.attrs["ome"] = ome

    return alter


FOUND = [in_metadata(no_scale), in_metadata(far_too_large), without_a_level, names_reversed]
MISSED = [
    in_metadata(change)
    for change in (two_channels, a_tenth_too_large, no_translation, wrong_translation)
]


def with_models(path: Path) -> bool:
    from ome_zarr_models.v05 import Image

    try:
        Image.from_zarr(zarr.open_group(path, mode="r"))
    except ValueError:  # pydantic's is one
        return False
    return True


def with_yaozarrs(path: Path) -> bool:
    import yaozarrs

    try:
        yaozarrs.validate_zarr_store(str(path))
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    voxels = np.random.default_rng(0).integers(0, 999, (64, 64, 64)).astype(np.uint16)
    np.save(folder / "voxels.npy", voxels)
    where = folder / "image.ome.zarr"
    convert.run(
        folder / "voxels.npy", where, voxel_size=(1, 1, 1), levels=4, chunks=16, shards="none"
    )
    return where


@pytest.mark.parametrize(
    ("package", "accepts"), [("ome_zarr_models", with_models), ("yaozarrs", with_yaozarrs)]
)
def test_what_the_chapter_says_of_it(package, accepts, image, tmp_path):
    pytest.importorskip(package)
    assert accepts(image)
    assert not validate(image).faults
    for number, alter in enumerate(FOUND + MISSED):
        broken = tmp_path / f"{number}.ome.zarr"
        shutil.copytree(image, broken)
        alter(broken)
        assert validate(broken).faults
        assert accepts(broken) == (alter in MISSED), number
    lies = tmp_path / "lies.ome.zarr"
    shutil.copytree(image, lies)
    in_metadata(a_lie)(lies)
    assert accepts(lies)
    assert not validate(lies).faults
