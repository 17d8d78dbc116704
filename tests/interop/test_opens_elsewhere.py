"""Every kind of output opens in other programs and shows equal values and equal scales.

What a program cannot do is a `Limit` with its reason, and held to be so still. Programs that
cannot be run here are listed on the page that `interop_record` writes.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import zarr
from interop_outputs import KINDS, Output, make_all
from interop_readers import MATTERS, READERS, Reader, Shown
from interop_record import PAGE, RECORD, read, render
from interop_verdicts import LIMITS, limit_of, verdict

pytestmark = [  # of the libraries under test
    pytest.mark.filterwarnings("ignore::DeprecationWarning:npe2"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pydantic"),
]

CODECS = {"blosc-lz4": "lz4", "zstd": "zstd", "gzip": "gzip", "no codec": None}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, Output]:
    return make_all(tmp_path_factory.mktemp("interop"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_reader_shows_what_went_in(outputs, name, kind):
    limit = limit_of(name, kind)
    expected = (limit.wrong, limit.said) if limit else ("", "^$")
    wrong, error = verdict(READERS[name], outputs[kind])
    assert wrong == expected[0], f"{name} on {kind}: {wrong}; {error}"
    assert re.search(expected[1], error), error


@pytest.mark.parametrize("limit", LIMITS, ids=lambda one: f"{one.reader}-{one.wrong}")
def test_a_limit_is_of_some_output(limit):
    assert limit.reader in READERS
    assert any(re.search(limit.outputs, kind) for kind in KINDS)


def right(output: Output) -> Shown:
    return Shown(
        levels=output.levels,
        scales=output.scales,
        translations=output.translations,
        axes=output.axes,
        units=output.units,
        channels=output.channels,
        windows=output.windows,
        is_label=output.is_label,
        labels={name: right(inside) for name, inside in output.labels.items()},
    )


def told(shown: Shown, output: Output) -> tuple[str, str]:
    """The verdict on a reader that says it tells everything, and shows this."""
    return verdict(Reader("", lambda path: shown, frozenset(MATTERS)), output)


def one_voxel_off(levels):
    changed = [level.copy() for level in levels]
    changed[-1].flat[-1] ^= 1
    return changed


CHANGES = {
    "levels": one_voxel_off,
    "scales": lambda scales: [*scales[:-1], tuple(s * (1 + 1e-8) for s in scales[-1])],
    "translations": lambda moves: [(0.0,) * len(move) for move in moves],
    "axes": lambda axes: axes[::-1],
    "units": lambda units: (*units[:-1], "nanometer"),
    "channels": lambda names: names[::-1],
    "windows": lambda windows: windows[:-1],
    "is_label": lambda is_label: not is_label,
    "labels": lambda labels: {**labels, "strange": Shown()},
}


@pytest.mark.parametrize("matter", MATTERS)
def test_whatever_a_reader_shows_wrong_is_seen(outputs, matter):
    output = outputs["0.5, channels"]
    shown = right(output)
    assert told(shown, output) == ("", "")
    changed = CHANGES[matter](getattr(shown, matter))
    assert told(replace(shown, **{matter: changed}), output) == (matter, "")
    assert told(replace(shown, **{matter: None}), output) == (matter, "")


def test_voxels_of_another_dtype_are_seen(outputs):
    output = outputs["0.5, channels"]
    wider = replace(right(output), levels=[level.astype("u2") for level in output.levels])
    assert told(wider, output) == ("levels", "")


@pytest.mark.parametrize("matter", ["levels", "scales", "translations", "is_label"])
def test_whatever_a_reader_shows_wrong_of_labels_is_seen(outputs, matter):
    output = outputs["0.5, labels inside an image"]
    shown = right(output)
    assert told(shown, output) == ("", "")
    cells = shown.labels["cells"]
    changed = replace(cells, **{matter: CHANGES[matter](getattr(cells, matter))})
    assert told(replace(shown, labels={"cells": changed}), output) == ("labels", "")
    assert told(replace(shown, labels={}), output) == ("labels", "")


def arrays(output: Output) -> list[zarr.Array]:
    return [output.open()[str(d)] for d in range(len(output.levels))]


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_is_what_its_name_says(outputs, kind):
    output = outputs[kind]
    attributes = dict(output.open().attrs)
    inner = attributes.get("ome", attributes)
    version = attributes if kind.startswith("0.4") else inner
    version = version.get("version", inner["multiscales"][0].get("version"))
    assert version == kind[:3] == output.version
    assert len(output.levels) > 1
    assert len(output.voxels.shape) == len(output.axes)
    for array in arrays(output):
        assert array.metadata.zarr_format == (2 if kind.startswith("0.4") else 3)
        said = str(array.metadata.to_dict())
        for word, codec in CODECS.items():
            if kind.endswith(word) or f", {word}," in kind:
                known = {"lz4", "zstd", "gzip"} if codec is None else {codec}
                assert all((one in said) == (codec is not None) for one in known)


def test_shards_are_as_they_are_called(outputs):
    assert all(a.shards is None for a in arrays(outputs["0.5, chunks alone"]))
    equal = arrays(outputs["0.5, equal shards"])
    assert [a.shards for a in equal[:2]] == [(32, 32, 32)] * 2
    halved = [a.shards or a.chunks for a in arrays(outputs["0.5, shards that halve"])]
    assert halved[0] > halved[1] > halved[2]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("never stored")])
def test_objects_are_missing_where_nothing_is(outputs, kind):
    output = outputs[kind]
    array = arrays(output)[0]
    edges = array.shards or array.chunks
    objects = math.prod(-(-n // e) for n, e in zip(array.shape, edges, strict=True))
    files = [p for p in (output.path / "0").rglob("*") if p.is_file()]
    stored = [p for p in files if p.name not in (".zarray", ".zattrs", "zarr.json")]
    assert 0 < len(stored) < objects


def napari_layers(output: Output):
    """The layers that napari makes of what its plugin hands over, as for a window."""
    from napari.layers import Layer
    from napari.layers.utils.stack_utils import split_channels
    from napari_ome_zarr import napari_get_reader

    made = []
    for data, told, kind in napari_get_reader(str(output.path))(str(output.path)):
        split = split_channels(data, **told) if "channel_axis" in told else [(data, told, kind)]
        made += [Layer.create(*one) for one in split]
    return made


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith(", zip")])
def test_napari_makes_layers_of_what_its_plugin_hands_over(outputs, kind):
    output = outputs[kind]
    layers = napari_layers(output)
    images = ["Labels"] if output.is_label else ["Image"] * len(output.channels)
    kinds = [*images, *["Labels"] * len(output.labels)]
    assert [type(layer).__name__ for layer in layers] == kinds
    shown = [layer.visible for layer in layers[len(images) :]]
    assert not any(shown), "the page says that napari hides labels inside an image"
    kept = [i for i, axis in enumerate(output.axes) if axis != "c" or output.is_label]
    for number, layer in enumerate(layers):
        np.testing.assert_allclose(layer.scale, np.array(output.voxel_size)[kept], rtol=1e-9)
        assert not layer.translate.any()
        assert [str(unit) for unit in layer.units] == [output.units[i] or "pixel" for i in kept]
        assert "".join(layer.axis_labels) == "".join(output.axes[i] for i in kept)
        assert len(layer.data) == len(output.levels)
        if kinds[number] == "Image":
            assert tuple(layer.contrast_limits) == output.windows[number]


def test_napari_still_stretches_lower_levels_of_odd_sizes(outputs):
    """It divides shapes where the metadata says how large a voxel is."""
    output = outputs["0.4"]
    (layer,) = napari_layers(output)
    shapes = np.array([level.shape for level in output.levels])
    there = np.array(output.scales) / output.voxel_size
    np.testing.assert_allclose(layer.downsample_factors, shapes[0] / shapes)
    assert not np.allclose(layer.downsample_factors, there)


@pytest.mark.parametrize("kind", ["0.4, label image", "0.5, label image"])
def test_napari_still_writes_a_group_two_folders_above_a_label_image(tmp_path, kind):
    """It looks for the image that the labels belong to, and opens that place for writing."""
    from napari_ome_zarr import napari_get_reader

    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    path = KINDS[kind](kind, place).path
    before = set(tmp_path.rglob("*"))
    napari_get_reader(str(path))(str(path))
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "a" / "zarr.json"}


def test_the_page_shows_the_record_and_the_record_is_of_these_readers_and_outputs():
    record = read(RECORD)
    assert list(record["readers"]) == list(READERS)
    assert record["outcomes"] == {
        kind: {name: limit.wrong if (limit := limit_of(name, kind)) else "" for name in READERS}
        for kind in KINDS
    }, "write the record again: python tests/interop/interop_record.py"
    assert PAGE.read_text(encoding="utf-8") == render(record)
