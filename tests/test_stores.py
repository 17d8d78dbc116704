"""Every kind of location, read by zarr, tensorstore and obstore; and outputs refused."""

import errno
import json
import os
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from counting_server import Served, serving
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.sync import sync

from enormous.errors import DataError, UsageError
from enormous.ledger import Ledger
from enormous.ome.inspect import inspect
from enormous.stores import Location, check_links, check_new, exists, forget, join, locate

IMAGE = np.arange(20 * 21 * 22, dtype="<u2").reshape(20, 21, 22)
ODD_NAMES = ["plain", "with space", "übergroß-ß-脳", "50%20off", "a#b?c", "dots.in.name", "[x]"]


def write(location: Location, name: str = "0", **options: Any) -> None:
    store = location.zarr("a")
    zarr.create_array(store, name=name, data=IMAGE, chunks=(8, 8, 8), **options)
    store.close()


def read_zarr(location: Location, name: str = "0") -> np.ndarray:
    with location.zarr("r") as store:
        assert store.read_only
        return np.asarray(zarr.open_array(store, path=name, mode="r")[...])


def read_tensorstore(url: str) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": locate(url).tensorstore()}
    return np.asarray(ts.open(spec, read=True).result().read().result())


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://test"
    forget("memory://test")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "scan.zarr"
    write(locate(folder))
    for url in (str(folder), f"{folder}/", folder.as_uri(), join(folder.parent, "scan.zarr")):
        location = locate(url)
        assert (location.kind, location.url) == ("file", str(folder))
        np.testing.assert_array_equal(read_zarr(location), IMAGE)
        np.testing.assert_array_equal(read_tensorstore(join(url, "0")), IMAGE)
        store, prefix = location.bytes()
        chunk = (folder / "0/c/0/0/0").read_bytes()
        assert bytes(store.get(f"{prefix}0/c/0/0/0").bytes()) == chunk


def test_home_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(locate("~/a.zarr"))
    for url in ("~/a.zarr/", "a.zarr", "./b/../a.zarr"):
        assert locate(url).url == str(tmp_path / "a.zarr")
        np.testing.assert_array_equal(read_zarr(locate(url)), IMAGE)


@pytest.mark.parametrize("inner", ["", "deep/inside"])
def test_memory_is_shared_by_name(memory: str, inner: str) -> None:
    url = join(memory, inner)
    assert not exists(url)
    with pytest.raises(UsageError, match="does not exist: it lives in its own process"):
        locate(url).zarr("r")
    write(locate(url))
    assert exists(url)
    assert exists(join(url, "0"))
    np.testing.assert_array_equal(read_zarr(locate(f"{url}/")), IMAGE)
    np.testing.assert_array_equal(read_zarr(locate(memory), f"{inner}/0".strip("/")), IMAGE)
    store, prefix = locate(url).bytes()
    node = json.loads(bytes(store.get(f"{prefix}0/zarr.json").bytes()))
    assert node["shape"] == list(IMAGE.shape)
    with pytest.raises(UsageError, match="tensorstore cannot see memory://; use a folder"):
        locate(url).tensorstore()
    forget(memory)
    assert not exists(url)


@pytest.mark.parametrize("archive", ["scan.zarr.zip", "scan.ozx"])
@pytest.mark.parametrize("inner", ["", "deep/inside"])
def test_a_zip_archive_is_read_and_written(tmp_path: Path, archive: str, inner: str) -> None:
    url = join(tmp_path, archive, inner)
    assert locate(url).kind == "zip"
    write(locate(url))
    assert zipfile.is_zipfile(tmp_path / archive)
    assert exists(join(url, "0"))
    assert not exists(join(url, "1"))
    np.testing.assert_array_equal(read_zarr(locate(url)), IMAGE)
    np.testing.assert_array_equal(read_tensorstore(join(url, "0")), IMAGE)
    with pytest.raises(UsageError, match="unpack"):
        locate(url).bytes()
    ledger = Ledger()
    array = zarr.open_array(ledger.wrap(locate(url).zarr()), path="0", mode="r")
    with ledger.measure() as access:
        array[:8, :8, :8]
    assert list(access.keys) == ["0/c/0/0/0"]


@pytest.mark.parametrize("kind", ["memory://test", "scan.zip"])
def test_a_location_inside_lists_and_deletes_only_its_own(
    tmp_path: Path, memory: str, kind: str
) -> None:
    base = kind if "://" in kind else str(tmp_path / kind)
    write(locate(join(base, "deep/inside")), "10")
    write(locate(join(base, "deep")), "outside")
    assert not exists(join(base, "deep/inside/1"))  # a name that another one begins with
    store = locate(join(base, "deep/inside")).zarr("r")

    async def listed(prefix: str) -> list[str]:
        return [key async for key in store.list_prefix(prefix)]

    everything = sync(listed(""))
    assert "10/zarr.json" in everything
    assert sync(listed("10/c/1")) == [key for key in everything if key.startswith("10/c/1")]
    group = zarr.open_group(locate(join(base, "deep")).zarr(), mode="r")
    assert set(group.array_keys()) == {"outside"}
    assert sync(store.getsize("10/zarr.json")) > 0
    assert sync(store.exists("10/zarr.json"))
    assert not sync(store.is_empty("10"))
    if kind.startswith("memory"):  # what is in a zip file cannot be deleted
        sync(locate(join(base, "deep/inside")).zarr("a").clear())
        assert not exists(join(base, "deep/inside"))
        assert exists(join(base, "deep/outside"))


def test_a_folder_named_zip_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "odd.zip").mkdir()
    assert locate(tmp_path / "odd.zip/0").kind == "file"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    for name in ("a", "with space"):
        write(locate(folder / name / "scan.zarr"))
    # the server compares names as they come: percent-encoded
    (folder / "with space").rename(folder / "with%20space")
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("name", ["a", "with space"])
def test_a_server_is_read(served: Served, name: str) -> None:
    url = join(served.url, name, "scan.zarr")
    assert locate(f"{served.url}/{name}/scan.zarr/").url == url
    np.testing.assert_array_equal(read_zarr(locate(url)), IMAGE)
    np.testing.assert_array_equal(read_tensorstore(join(url, "0")), IMAGE)
    store, prefix = locate(url).bytes()
    assert len(store.get_range(f"{prefix}0/c/0/0/0", start=3, end=9)) == 6
    assert exists(join(url, "0"))
    assert exists(join(url, "0/c/0/0/0"))
    assert not exists(join(url, "1"))
    for refused in (locate(url).zarr, check_new):
        with pytest.raises(UsageError, match="can only be read"):
            refused("a" if refused != check_new else url)  # type: ignore[operator]


def test_a_server_that_is_not_there_is_given_up_soon() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        exists(f"http://127.0.0.1:{port}/scan.zarr")
    assert time.monotonic() - start < 10
    assert f"http://127.0.0.1:{port}/scan.zarr cannot be reached" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        inspect(f"http://127.0.0.1:{port}/scan.zarr")
    told = str(caught.value)
    assert f"cannot be opened as Zarr: Error performing GET http://127.0.0.1:{port}/" in told
    assert told.endswith("error sending request (Connection refused)")
    assert len(told) < 200
    assert "retries" not in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/scan.zarr", "s3:// is not supported yet"),
        ("gs://bucket/scan.zarr", "gs:// is not supported yet"),
        ("az://bucket/scan.zarr", "az:// is not supported yet"),
        ("ftp://host/scan.zarr", "unknown scheme ftp://"),
        ("memory://", "needs a name"),
        ("file://elsewhere/scan.zarr", "names a path on this machine"),
        ("https://host/scan.zarr?token=1", "without ? or #"),
        ("https:///scan.zarr", "plain http(s):// address"),
        ("https://host/scan.zarr.zip", "download it first"),
        ("", "neither a path nor a URL"),
        ("a\0b", "neither a path nor a URL"),
    ],
)
def test_a_wrong_url_is_one_line(url: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        locate(url)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_and_what_is_no_folder(tmp_path: Path) -> None:
    for url in (tmp_path / "no.zarr", tmp_path / "no.zip"):
        with pytest.raises(UsageError, match="does not exist: check the path"):
            locate(url).zarr()
    with pytest.raises(UsageError, match="does not exist"):
        locate(tmp_path / "no.zarr").bytes()
    (tmp_path / "image.tif").write_bytes(b"II*")
    with pytest.raises(UsageError, match=r"is a file, neither a Zarr folder nor a \.zip"):
        locate(tmp_path / "image.tif").zarr()
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="not a readable zip archive"):
        exists(tmp_path / "broken.zip/0")
    with pytest.raises(UsageError, match="unknown mode 'x'"):
        locate(tmp_path).zarr("x")  # type: ignore[arg-type]


NAMES = st.text(
    st.characters(blacklist_characters="/\\\0", blacklist_categories=("Cs", "Cc")), min_size=1
).filter(lambda name: name not in (".", "..") and not name.lower().endswith((".zip", ".ozx")))


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_join_goes_one_level_a_name_and_never_out(names: list[str]) -> None:
    for base in ("/data", "memory://m", "/data/a.zip", "https://host/data"):
        joined = join(base, *names)
        step_by_step = base
        for name in names:
            step_by_step = join(step_by_step, name)
        assert joined == step_by_step == join(base, "/".join(names))
        assert locate(joined).url == joined
        assert joined.count("/") == base.count("/") + len(names)
        with pytest.raises(UsageError, match="leads out"):
            join(joined, "..")


def outputs(tmp_path: Path) -> list[str]:
    return [str(tmp_path / "f"), "memory://test", str(tmp_path / "z.zip")]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_existing_output_is_refused(
    tmp_path: Path, memory: str, kind: int, zarr_format: Any
) -> None:
    url = outputs(tmp_path)[kind]
    assert check_new(url) == locate(url)
    write(locate(url), "image/0", zarr_format=zarr_format)
    with pytest.raises(UsageError, match="exists: choose another output, or pass --overwrite"):
        check_new(join(url, "image"))
    assert check_new(join(url, "image"), overwrite=True) == locate(join(url, "image"))
    check_new(join(url, "image/labels/cells"))  # below a group: where labels belong
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is an existing Zarr array: choose another"):
            check_new(join(url, "image/0"), overwrite)
        with pytest.raises(UsageError, match=r"lies inside .*image/0, an existing Zarr array"):
            check_new(join(url, "image/0/some/where"), overwrite)


def test_a_zip_inside_an_array_is_refused(tmp_path: Path) -> None:
    write(locate(tmp_path), "0")
    with pytest.raises(UsageError, match="lies inside"):
        check_new(tmp_path / "0" / "new.zip")


def test_a_link_into_an_array_is_refused(tmp_path: Path) -> None:
    write(locate(tmp_path), "0")
    targets = {"array": "0", "chunks": "0/c", "new": "0/new", "new.zip": "0/new.zip"}
    for name, target in targets.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    for out in (*targets, "array/out", "chunks/out", "new/out", "chunks/out.zip"):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="an existing Zarr array"):
                check_new(tmp_path / out, overwrite)


def test_a_link_to_nothing_is_no_place_for_an_output(tmp_path: Path) -> None:
    (tmp_path / "out.zarr").symlink_to("away/scan.zarr")
    (tmp_path / "new.zarr").symlink_to("next.zarr")
    (tmp_path / "disk").symlink_to(tmp_path / "unmounted")
    cases = {"out.zarr": ("out.zarr", "away"), "disk/new/out.zarr": ("disk", "unmounted")}
    for out, (link, missing) in cases.items():
        words = rf"{tmp_path}/{link} is a link to .*, and {tmp_path}/{missing} does not exist"
        with pytest.raises(UsageError, match=words):
            check_links(str(tmp_path / out))
    (tmp_path / "unmounted").mkdir()
    for out in ("disk/new/out.zarr", "new.zarr", "new/out.zarr"):
        check_links(str(tmp_path / out))


def test_a_folder_without_permission_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as closed:  # root may read all: no mode would do
        closed.setattr(os, "lstat", refuse)
        with pytest.raises(DataError, match=r"x\.zarr cannot be looked at: permission denied"):
            exists(tmp_path / "x.zarr")
        with pytest.raises(DataError, match=r"x\.zarr cannot be looked at: permission denied"):
            locate(tmp_path / "x.zarr").zarr()
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"x\.zarr/\.zarray cannot be read: Permission denied"):
        check_new(tmp_path / "x.zarr")


def test_folders_files_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    check_new(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="lies below a file"):
        check_new(tmp_path / "file" / "out.zarr", overwrite=True)
    check_new(tmp_path / "file", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        check_new(tmp_path / "link")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/zarr.json").write_text("not json")
    check_new(tmp_path / "other/out.zarr")
    monkeypatch.chdir(tmp_path / "other")
    for kept in (tmp_path / "other", tmp_path, "/"):
        with pytest.raises(UsageError, match="not an output to overwrite"):
            check_new(kept, overwrite=True)


def test_nothing_is_written_by_looking(tmp_path: Path, memory: str) -> None:
    for url in outputs(tmp_path):
        check_new(join(url, "a"))
        exists(url)
        locate(url)
    assert list(tmp_path.iterdir()) == []
    assert not exists(memory)
