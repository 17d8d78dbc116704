"""Stores as dictionaries, another process that writes, and mistakes that are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, ZipStore

from enormous.teach.check import check
from enormous.teach.stores import MISTAKES, SILENCE, contents, provoke, seen_elsewhere, set_scene


def test_a_store_is_a_dictionary_whatever_it_is(tmp_path: Path) -> None:
    held = []
    for store in (MemoryStore(), LocalStore(tmp_path / "a"), ZipStore(tmp_path / "b", mode="w")):
        zarr.create_array(store, shape=(4,), chunks=(2,), dtype="u1")[:] = 5
        held.append(contents(store))
    assert list(held[0]) == ["c/0", "c/1", "zarr.json"]
    assert held[0] == held[1] == held[2]


def test_only_what_lies_outside_the_process_is_written_elsewhere(tmp_path: Path) -> None:
    stores = [MemoryStore(), LocalStore(tmp_path / "a"), ZipStore(tmp_path / "b", mode="w")]
    arrays = [zarr.create_array(store, shape=(4,), chunks=(2,), dtype="u1") for store in stores]
    assert seen_elsewhere(arrays) == [False, True, False]


#: A word of each message, so that a mistake is the one that is explained.
WORDS = dict(
    zip(
        [mistake.means for mistake in MISTAKES],
        [
            "not exist",
            "node_type",
            "array already exists",
            "KeyError",
            "No array found",
            "No group found",
            "store_like",
            "ContainsArrayError",
            "divisible",
            "Zarr format 2",
            "not iterable",
            "read-only",
            "broadcast",
            "step >= 1",
            "out of bounds",
            "decompression",
            "Unknown codec",
            SILENCE,
            SILENCE,
        ],
        strict=True,
    )
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.code)
def test_each_mistake_says_something_but_the_silent_two(mistake, tmp_path: Path) -> None:
    said = provoke(mistake.code, set_scene(tmp_path), tmp_path)
    assert WORDS[mistake.means] in said
    silent = "np.full" in mistake.code or "typo" in mistake.code
    assert (said == SILENCE) == silent
    assert str(tmp_path) not in said
    assert silent or said.split(":")[0].endswith(("Error", "Exception"))


def test_the_silent_two_do_what_is_said_of_them(tmp_path: Path) -> None:
    scene = set_scene(tmp_path)
    for mistake in MISTAKES[-2:]:
        provoke(mistake.code, scene, tmp_path)
    assert scene["array"][0, 0] == 300 % 256 == 44
    assert [path.name for path in Path(scene["typo"]).iterdir()] == ["zarr.json"]


def never_refuses(path: str) -> object:
    return zarr.open_group(path, mode="w")


def forgets_what_is_above(path: str) -> object:
    return zarr.open_group(path, mode="w-")


def refuses_below_any_node(path: str) -> object:
    above = Path(path).parents
    if any((p / "zarr.json").is_file() or (p / ".zarray").is_file() for p in above):
        raise FileExistsError
    return zarr.open_group(path, mode="w-")


def looks_for_a_word(path: str) -> object:
    nodes = [p / "zarr.json" for p in Path(path).parents]
    v3 = any(node.is_file() and '"array"' in node.read_text() for node in nodes)
    if v3 or any((p / ".zarray").is_file() for p in Path(path).parents):
        raise FileExistsError
    return zarr.open_group(path, mode="w-")


def forgets_v2(path: str) -> object:
    for node in (p / "zarr.json" for p in Path(path).parents):
        if node.is_file() and json.loads(node.read_text())["node_type"] == "array":
            raise FileExistsError
    return zarr.open_group(path, mode="w-")


def knows_the_one_name(path: str) -> object:
    if "new" not in path:
        raise FileExistsError
    return zarr.open_group(path, mode="w-")


def returns_nothing(path: str) -> None:
    zarr.open_group(path, mode="w-")


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("stores-1", 100, "which two axes"),
        ("stores-2", lambda path, before: ([], []), "lost"),
        ("stores-3", lambda keys, room: len(keys) - len(set(keys)), "for the arguments"),
        ("stores-4", never_refuses, "raised nothing"),
        ("stores-4", forgets_what_is_above, "below an array"),
        ("stores-4", refuses_below_any_node, "inside a group"),
        ("stores-4", looks_for_a_word, "consolidated"),
        ("stores-4", forgets_v2, "zarr v2"),
        ("stores-4", knows_the_one_name, "inside a group"),
        ("stores-4", returns_nothing, "return the group"),
    ],
)
def test_wrong_answers_hear_why(name, answer, hint, capsys) -> None:
    check(name, answer)
    said = capsys.readouterr().out
    assert "not yet" in said
    assert hint.lower() in said.lower()


def test_the_cache_of_the_exercise_is_the_one_of_zarr() -> None:
    from enormous.teach.check import _registry

    hits = _registry.find("stores-3").expected
    around = [0, 1, 2, 3] * 5
    assert hits(around, 3) == 0
    assert hits(around, 4) == 16
    assert hits(np.array(around).tolist(), 0) == 0
