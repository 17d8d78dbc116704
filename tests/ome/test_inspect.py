"""ome/inspect.py: kinds, objects and bytes, for every place that stores.py can open."""

from __future__ import annotations

import functools
import json
import math
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from counting_server import serving
from numcodecs import LZ4, Delta
from stores_of import VERSIONS, collection, image, plate, write_group

from enormous import samples, stores
from enormous.errors import DataError, UsageError
from enormous.ome.inspect import inspect, open_array, open_image

DATA = np.arange(8 * 9 * 10, dtype="uint16").reshape(8, 9, 10)


def make_array(store: Any, **options: Any) -> None:
    array = zarr.create_array(store, shape=DATA.shape, chunks=(4, 4, 4), dtype="uint16", **options)
    array[:] = DATA


def test_objects_and_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    for name, options in (("v2", {"zarr_format": 2}), ("v3", {"shards": (8, 4, 4)})):
        make_array(tmp_path / name, **options)
        found = inspect(tmp_path / name)
        files = [
            f for f in (tmp_path / name).rglob("*") if f.is_file() and f.name not in
            ("zarr.json", ".zarray", ".zattrs")
        ]  # fmt: skip
        (level,) = found.arrays
        assert (found.kind, level.grid.n_objects) == ("array", len(files))
        assert found.stored[""].objects == len(files)
        assert found.stored[""].nbytes == sum(f.stat().st_size for f in files)
        assert level.codec == "zstd:0"


def test_folders_zip_files_and_memory_agree(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    make_array(group.store_path.store, name="a/b")
    make_array(group.store_path.store, name="c")
    shutil.make_archive(str(tmp_path / "g"), "zip", tmp_path / "g.zarr")
    in_folder, in_zip = inspect(tmp_path / "g.zarr"), inspect(tmp_path / "g.zip")
    assert [array.path for array in in_folder.arrays] == ["a/b", "c"]
    assert in_folder.kind == in_zip.kind == "group"
    # the archive's own entries are deflated, so only their number agrees
    assert {p: s.objects for p, s in in_zip.stored.items()} == {
        p: s.objects for p, s in in_folder.stored.items()
    }
    memory = stores.locate("memory://inspect-test").zarr("w")
    make_array(memory, name="c")
    in_memory = inspect("memory://inspect-test/c")
    assert in_memory.stored[""] == in_folder.stored["c"]
    stores.forget("memory://inspect-test")


def test_label_images_of_an_image(tmp_path: Path) -> None:
    entry = {"version": "0.4", "axes": [], "datasets": [{"path": "0"}]}
    group = zarr.create_group(
        tmp_path / "i.zarr", zarr_format=2, attributes={"multiscales": [entry]}
    )
    label = group.create_group("labels", attributes={"labels": ["cells"]}).create_group(
        "cells", attributes={"multiscales": [entry], "image-label": {}}
    )
    for node in (group, label):
        node.create_array("0", shape=(4, 4), chunks=(2, 2), dtype="uint8")[:] = 1
    found = inspect(tmp_path / "i.zarr")
    assert (found.kind, [name for name, _ in found.labels]) == ("image", ["cells"])
    assert found.stored["0"].objects == found.stored["labels/cells/0"].objects == 4
    assert inspect(tmp_path / "i.zarr/labels").kind == "labels"
    assert inspect(tmp_path / "i.zarr/labels/cells").kind == "label image"
    shutil.rmtree(tmp_path / "i.zarr/labels/cells")
    with pytest.raises(DataError, match="labels/cells is named"):
        inspect(tmp_path / "i.zarr")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_over_http_metadata_is_read_and_sizes_are_unknown(tmp_path: Path, server: str) -> None:
    samples.run("sparse", tmp_path / "s.zarr", size="tiny", chunks=32)
    near, far = inspect(tmp_path / "s.zarr"), inspect(f"{server}/s.zarr")
    assert far.images == near.images
    assert (near.kind, far.kind) == ("label image", "label image")
    assert near.stored
    assert far.stored == {}
    assert inspect(f"{server}/s.zarr/0").arrays[0].grid == near.images[0].levels[0].grid
    with pytest.raises(DataError, match="nothing"):
        inspect(f"{server}/nothing.zarr")


def test_codecs_without_a_name_of_ours_are_shown_as_they_stand(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "a",
        shape=(4,),
        dtype="uint16",
        zarr_format=2,
        filters=[Delta("<u2")],
        compressors=LZ4(),
    )
    assert inspect(tmp_path / "a").arrays[0].codec == "delta + lz4"


def test_what_is_not_zarr_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/readme.txt").write_text("hello")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/zarr.json").write_text("{")
    (tmp_path / "half").mkdir()
    half = {"zarr_format": 3, "node_type": "array", "shape": [4]}
    (tmp_path / "half/zarr.json").write_text(json.dumps(half))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name, kind in (
        ("missing", UsageError),
        ("plain", DataError),
        ("plain/readme.txt", UsageError),
        ("broken", DataError),
        ("half", DataError),
        ("empty.zip", DataError),
    ):
        with pytest.raises(kind, match=name) as told:
            inspect(tmp_path / name)
        assert "\n" not in str(told.value)


ZYX = [{"name": name, "type": "space"} for name in "zyx"]
LEVEL: dict[str, Any] = {"path": "0"}


@pytest.mark.parametrize(
    "damaged",
    [
        {"axes": ZYX, "datasets": []},
        {"axes": ZYX, "datasets": None},
        {"axes": ZYX},
        {"axes": ZYX, "datasets": [{"path": "0"}, {"path": "flat"}]},
        {"datasets": [{"path": "0"}, {"path": "flat"}]},
        {"axes": [{"name": "t"}, *ZYX], "datasets": [LEVEL]},
        {"axes": ZYX[1:], "datasets": [LEVEL]},
        {"axes": None, "datasets": [LEVEL]},
        *(
            {
                "axes": ZYX,
                "datasets": [
                    {**LEVEL, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
                ],
            }
            for scale in ([1, 1, math.inf], [1, math.nan, 1], [1, 1], None)
        ),
        "an image",
    ],
)
def test_a_damaged_image_is_told_in_one_line(tmp_path: Path, damaged: Any) -> None:
    group = zarr.create_group(tmp_path / "i.zarr", attributes={"ome": {"multiscales": [damaged]}})
    group.create_array("0", shape=(4, 4, 4), dtype="uint8")
    group.create_array("flat", shape=(4, 4), dtype="uint8")
    with pytest.raises(DataError, match=r"i\.zarr: the OME-Zarr metadata is damaged") as told:
        inspect(tmp_path / "i.zarr")
    assert "\n" not in str(told.value)


def test_a_damaged_list_of_labels_is_told_in_one_line(tmp_path: Path) -> None:
    entry = {"axes": ZYX, "datasets": [LEVEL]}
    group = zarr.create_group(tmp_path / "i.zarr", attributes={"ome": {"multiscales": [entry]}})
    group.create_array("0", shape=(4, 4, 4), dtype="uint8")
    group.create_group("labels", attributes={"ome": {"labels": 5}})
    with pytest.raises(DataError, match="labels: its list of labels is damaged"):
        inspect(tmp_path / "i.zarr")


@pytest.mark.parametrize(
    ("zarr_format", "encoding"),
    [
        (2, {"name": "v2", "separator": "."}),
        (2, {"name": "v2", "separator": "/"}),
        (3, {"name": "default", "separator": "/"}),
        (3, {"name": "default", "separator": "."}),
        (3, {"name": "v2", "separator": "."}),
    ],
)
def test_chunks_are_told_from_files_that_no_reader_asks_for(tmp_path, zarr_format, encoding):
    array = zarr.create_array(
        tmp_path / "a",
        shape=(4, 4),
        chunks=(2, 2),
        dtype="u1",
        zarr_format=zarr_format,
        chunk_key_encoding=encoding,
    )
    array[:] = 1
    (tmp_path / "a" / "0-1").write_bytes(b"x")
    (stored,) = inspect(tmp_path / "a").stored.values()
    assert (stored.objects, stored.stray) == (4, 1)


def test_a_wrong_separator_shows_as_strays(tmp_path):
    array = zarr.create_array(
        tmp_path / "a", shape=(4, 4), chunks=(2, 2), dtype="u1", zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    array[:] = 1
    metadata = tmp_path / "a" / ".zarray"
    metadata.write_text(metadata.read_text().replace('"/"', '"."'))
    (stored,) = inspect(tmp_path / "a").stored.values()
    assert (stored.objects, stored.nbytes, stored.stray) == (0, 0, 4)


def test_an_array_without_axes_has_one_chunk(tmp_path):
    for zarr_format in (2, 3):
        array = zarr.create_array(
            tmp_path / str(zarr_format), shape=(), dtype="u1", zarr_format=zarr_format
        )
        array[...] = 7
        (stored,) = inspect(tmp_path / str(zarr_format)).stored.values()
        assert (stored.objects, stored.stray) == (1, 0)


@pytest.fixture(params=["folder", "zip"])
def scan(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image with labels, in a folder or a zip file."""
    folder = image(tmp_path / "a.zarr", "0.5")
    if request.param == "folder":
        return folder
    shutil.make_archive(str(tmp_path / "b"), "zip", folder)
    return tmp_path / "b.zip"


def test_arrays_and_images_are_opened(scan: Path) -> None:
    assert open_array(scan / "0").shape == (2, 3, 9, 8)
    (found,) = open_image(scan)
    assert [level.path for level in found.levels] == ["0", "1"]
    assert open_image(scan / "labels/cells")[0].is_label


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("", UsageError, "is a group, not an array: it holds 0, 1: give {}/0"),
        ("7", UsageError, "does not exist: {} is a group; it holds 0, 1: give {}/0"),
        ("0/5", UsageError, "does not exist: it lies below the array {}/0, where there are"),
        ("0/c/0", DataError, "is not Zarr: it lies below the array {}/0, where there are"),
        ("0/c/0/9", UsageError, "it lies below the array {}/0, where there are"),
        ("labels", UsageError, "it holds cells/0: give {}/labels/cells/0"),
        ("labels/nuclei", UsageError, "it holds cells/0: give {}/labels/cells/0"),
    ],
)
def test_what_is_no_array_names_what_was_meant(
    scan: Path, path: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as told:
        open_array(scan / path)
    assert said.replace("{}", str(scan)) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("0", "is an array, not an image: give {}"),
        ("labels", "is a group of labels, not an image; give one of its images: {}/labels/cells"),
        ("labels/nuclei", "does not exist"),
    ],
)
def test_what_is_no_image_names_what_was_meant(scan: Path, path: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        open_image(scan / path)
    assert said.replace("{}", str(scan)) in str(told.value)


def test_nothing_and_empty_groups_are_told(tmp_path: Path) -> None:
    write_group(tmp_path / "g.zarr", "0.5")
    with pytest.raises(UsageError, match="holds no arrays"):
        open_array(tmp_path / "g.zarr")
    with pytest.raises(UsageError, match="without OME-Zarr metadata"):
        open_image(tmp_path / "g.zarr")
    with pytest.raises(UsageError, match=r"g\.zarr/a does not exist: check the path"):
        open_array(tmp_path / "g.zarr/a")
    image(tmp_path / "a.zarr", "0.4")
    with serving(tmp_path) as served:
        assert open_array(f"{served.url}/a.zarr/1").shape == (2, 3, 5, 4)
        with pytest.raises(UsageError, match=r"it holds 0, 1: give .*a\.zarr/0"):
            open_array(f"{served.url}/a.zarr")
        with pytest.raises(DataError, match=r"is not Zarr: .*a\.zarr is a group; it holds 0, 1"):
            open_array(f"{served.url}/a.zarr/9")


@pytest.mark.parametrize("version", VERSIONS)
def test_plates_and_collections_say_what_they_hold(tmp_path: Path, version: str) -> None:
    found = inspect(plate(tmp_path / "p.zarr", version))
    assert found.plate is not None
    assert (found.plate.rows, found.plate.columns, found.plate.wells, found.plate.fields) == (
        *(2, 2, 2, 2),
    )
    assert [path for path, _ in found.members] == ["A/1/0"]
    assert found.stored["A/1/0/0"].objects == 1
    assert [path for path, _ in inspect(tmp_path / "p.zarr/B/2").members] == ["0"]
    many = collection(tmp_path / "c.zarr", version)
    assert [path for path, _ in inspect(many).members] == ["0", "1"]
    shutil.rmtree(many / "OME")
    assert [path for path, _ in inspect(many).members] == ["0", "1"]
    with serving(tmp_path) as served:
        far = inspect(f"{served.url}/p.zarr")
        assert far.plate is not None
        assert (far.plate.wells, far.plate.fields, far.stored) == (2, None, {})
    shutil.rmtree(tmp_path / "p.zarr/B")
    with pytest.raises(DataError, match=r"p\.zarr/B/2 is named in the metadata but is not there"):
        inspect(tmp_path / "p.zarr")


def test_chunks_beyond_the_shape_are_counted_apart(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(4, 4), chunks=(2, 2), dtype="u1")
    array[:] = 1
    for name in ("c/0/2", "c/2/0", "c/0/10"):
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"x")
    (stored,) = inspect(tmp_path / "a").stored.values()
    assert (stored.objects, stored.stray, stored.outside) == (4, 0, 3)
