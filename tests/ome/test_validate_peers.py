"""What others refuse, we refuse: on valid documents, changed at random and in every way.

The others are ome-zarr-models, yaozarrs, and the JSON schemas of the specification, which
ngff-zarr brings along.
"""

from __future__ import annotations

import copy
import importlib
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stores_of import MAKERS, VERSIONS, get_attributes, set_attributes

from enormous.errors import EnormousError
from enormous.ome.inspect import inspect, open_image
from enormous.ome.validate import validate

#: (peer, what it says, why we accept it all the same)
EXCUSED = [
    ("models", "Inconsistent `label_value`", "the text allows colours without properties"),
    ("models", r"rgba.*Field required", "the text says that rgba MAY be present: a warning here"),
    ("yaozarrs", r"labels.*at least 1 item", "the text does not forbid an empty list: a warning"),
    ("yaozarrs", "determine OME-Zarr version|KeyError: 'version'", "0.4: version is a SHOULD"),
    ("schemas", "None is not of type|'type': None", "ome-zarr-models writes null for nothing"),
    ("schemas", "axes'] Too many items match", "an axis without a type counts as space there"),
]

#: Every document of a store that can be mutated: the store, the group, and its class in
#: ome-zarr-models (which has none for a collection of 0.5).
DOCUMENTS = [
    ("image", "", "image", "Image"),
    ("image", "labels", "labels", "Labels"),
    ("image", "labels/cells", "image_label", "ImageLabel"),
    ("plate", "", "hcs", "HCS"),
    ("plate", "A/1", "well", "Well"),
    ("collection", "", "bioformats2raw", "BioFormats2Raw"),
]


def complaints_of_models(
    store: Path, group: str, version: str, where: tuple[str, str]
) -> list[str]:
    module, name = where
    package = f"ome_zarr_models.v{version.replace('.', '')}.{module}"
    model = getattr(importlib.import_module(package), name)
    try:
        model.from_zarr(zarr.open_group(store / group, mode="r"))
    except ValidationError as error:
        return [f"{e['loc']} {e['msg']}" for e in error.errors()]
    except Exception as error:
        return [f"{type(error).__name__}: {error} {error.__cause__}"]
    return []


def complaints_of_yaozarrs(store: Path, group: str) -> list[str]:
    import yaozarrs

    try:
        yaozarrs.validate_zarr_store(str(store / group))
    except ValidationError as error:
        return [f"{e['loc']} {e['msg']}" for e in error.errors()]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return []


#: The schemas of a document, by its class in ome-zarr-models.
SCHEMAS = {
    "Image": ["image"],
    "ImageLabel": ["image", "label"],
    "HCS": ["plate"],
    "Well": ["well"],
    "BioFormats2Raw": ["bf2raw"],
}


def complaints_of_schemas(mutant: Any, version: str, name: str) -> list[str]:
    from jsonschema import ValidationError
    from ngff_zarr.validate import validate as against_schema

    said = []
    for model in SCHEMAS.get(name, ()):
        try:
            against_schema(mutant, version=version, model=model)
        except ValidationError as error:
            said.append(f"{list(error.absolute_path)} {error.message[:200]}")
    return said


def excused(peer: str, complaints: list[str]) -> bool:
    known = [pattern for of, pattern, _ in EXCUSED if of == peer]
    return all(any(re.search(p, c, re.DOTALL) for p in known) for c in complaints)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values inside a JSON document."""
    if not isinstance(value, (dict, list)):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(p for key, member in inner for p in places(member, (*path, key)))]


ODD: list[Any] = [
    *(None, "", "x", "0", "../0", "0.4", "0.3", 0, 1, -1, 2, 1.5, 3, True),
    *([], {}, [1], ["a"], {"a": 1}),
]


def every_mutant(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A document with one value removed, replaced, doubled or moved, in every way."""
    for path in places(document):
        for action in ["remove", "double", "move", *ODD]:
            mutant = copy.deepcopy(document)
            if path and mutate(mutant, path, action):
                yield mutant


def mutate(document: dict[str, Any], path: tuple[Any, ...], action: Any) -> bool:
    """Change a document at `path`, which leads into it; False where that cannot be."""
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    key = path[-1]
    if action == "remove":
        del holder[key]
    elif action not in ("double", "move"):
        holder[key] = copy.deepcopy(action)
    elif not isinstance(holder, list):
        return False
    elif action == "double":
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder.append(holder.pop(key))
    return True


@st.composite
def mutants(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document changed in one to three places."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        where = [path for path in places(document) if path]
        actions = st.sampled_from(["remove", "double", "move", *ODD])
        if where:
            mutate(document, draw(st.sampled_from(where)), draw(actions))
    return document


class Case:
    """A document of a valid store, and what the validators say of its mutants."""

    def __init__(self, folder: Path, version: str, kind: str, group: str, where: Any) -> None:
        self.store = MAKERS[kind](folder, version)
        self.group, self.version, self.where = group, version, where
        self.has_model = (kind, version) != ("collection", "0.5")
        self.document = get_attributes(self.store / group)
        assert validate(self.store / group).faults == ()
        assert all(excused(peer, said) for peer, said in self.peers(self.document).items())

    def peers(self, mutant: dict[str, Any]) -> dict[str, list[str]]:
        module, name = self.where
        if module == "image_label" and "image-label" not in mutant.get("ome", mutant):
            module, name = "image", "Image"  # then it is no label image any more
        models = yaozarrs = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.has_model:
                models = complaints_of_models(self.store, self.group, self.version, (module, name))
            yaozarrs = complaints_of_yaozarrs(self.store, self.group)
        schemas = complaints_of_schemas(mutant, self.version, name)
        return {"models": models, "yaozarrs": yaozarrs, "schemas": schemas}

    def check(self, mutant: dict[str, Any]) -> bool:
        """Whether we accept a mutant; then both peers must."""
        set_attributes(self.store / self.group, self.version, mutant)
        report = validate(self.store / self.group)
        old = report.version in ("0.1", "0.2", "0.3")  # those we know, and they do not
        if not report.ok or old:
            return False
        for peer, said in self.peers(mutant).items():
            assert excused(peer, said), (peer, said, mutant)
        return True


every_document = pytest.mark.parametrize(("kind", "group", "module", "name"), DOCUMENTS)
every_version = pytest.mark.parametrize("version", VERSIONS)


@every_version
@every_document
def test_what_either_peer_refuses_is_refused(
    tmp_path: Path, version: str, kind: str, group: str, module: str, name: str
) -> None:
    case = Case(tmp_path / "a.zarr", version, kind, group, (module, name))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutants(case.document))
    def check(mutant: dict[str, Any]) -> None:
        case.check(mutant)

    check()


@pytest.mark.slow
@every_version
@every_document
def test_every_single_change_is_judged_as_the_peers_judge_it(
    tmp_path: Path, version: str, kind: str, group: str, module: str, name: str
) -> None:
    case = Case(tmp_path / "a.zarr", version, kind, group, (module, name))
    judged = [case.check(mutant) for mutant in every_mutant(case.document)]
    assert 0 < sum(judged) < len(judged)


def said_by(call: Callable[[Path], object], store: Path) -> str:
    try:
        return str(call(store))
    except EnormousError as error:  # any other is a failure of the test
        return str(error)


@every_version
@pytest.mark.parametrize("kind", MAKERS)
def test_whatever_a_file_holds_is_a_report_or_one_line(
    tmp_path: Path, kind: str, version: str
) -> None:
    store = MAKERS[kind](tmp_path / "a.zarr", version)
    names = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    files = sorted(file for file in store.rglob("*") if file.name in names)
    broken = st.sampled_from([b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 5000])

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        original = file.read_bytes()
        changed = mutants(json.loads(original)).map(lambda mutant: json.dumps(mutant).encode())
        file.write_bytes(data.draw(changed | broken))
        told = [said_by(call, store) for call in (validate, inspect, open_image)]
        file.write_bytes(original)
        assert not any("\n" in text for text in told)

    check()
