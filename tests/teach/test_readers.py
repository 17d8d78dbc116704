"""Files for the chapter on readers, and the verdict on what was read from them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from enormous.teach.check import check
from enormous.teach.readers import (
    SILENT,
    VERDICTS,
    Sample,
    attempt,
    count_bytes,
    draw,
    judge,
    make_files,
)

tifffile = pytest.importorskip("tifffile")
VOLUME = np.random.default_rng(0).integers(0, 2**16, (24, 40, 36)).astype(np.uint16)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (VOLUME, "right"),
        (VOLUME.astype(">u2"), "right"),
        (VOLUME[None], "one axis more"),
        (VOLUME.transpose(1, 2, 0), "other axes"),
        (VOLUME.reshape(2, 12, 40, 36), "other axes"),
        (VOLUME[::-1], "other order"),
        (VOLUME[0], "slices lost"),
        (VOLUME[:6], "slices lost"),
        (VOLUME[::4], "other values"),
        (VOLUME // 2, "other values"),
        (VOLUME.astype(np.int32), "other values"),
    ],
)
def test_what_came_out_is_judged_by_every_voxel(found, verdict) -> None:
    assert judge(found, VOLUME) == verdict


def test_a_mask_is_not_its_255_fold() -> None:
    mask = VOLUME[0] > 30_000
    assert judge(mask, mask) == "right"
    assert judge(255 * mask.astype(np.uint8), mask) == "other values"


def test_every_tiff_holds_what_was_put_in(tmp_path: Path) -> None:
    files = make_files(tmp_path, VOLUME)
    assert len({sample.name for sample in files}) == len(files) > 30
    tiffs = [sample for sample in files if "TIFF" in sample.name]
    assert {attempt(tifffile.imread, sample).verdict for sample in tiffs} == {"right"}
    refused = attempt(tifffile.imread, next(s for s in files if s.name == "HDF5"))
    assert refused.verdict == "refused"
    assert refused.said.startswith("TiffFileError: not a TIFF file")


def test_a_reader_that_fails_late_has_refused_and_names_no_folder() -> None:
    class Late:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise IndexError("no such page in /tmp/scan.tif\nand more")

    outcome = attempt(lambda _: Late(), Sample("late", "/tmp/scan.tif", VOLUME))
    assert outcome.verdict == "refused"
    assert outcome.said == "IndexError: no such page in FILE"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts bytes")
def test_bytes_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10**6))
    count, content = count_bytes(path.read_bytes)
    assert len(content) == 10**6 <= count < 1.1 * 10**6


def test_the_drawing_marks_each_verdict() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    _, ax = plt.subplots()
    rows = list(VERDICTS)
    draw(ax, rows, ["reader"], {(v, "reader"): attempt_like(v) for v in rows})
    assert [text.get_text() for text in ax.texts] == list(VERDICTS.values())
    greys = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in map(face, ax.patches)]
    right, refused, more = greys[:3]  # in print, too, each is a shade of its own
    assert right > more + 0.1 > refused + 0.2 > max(greys[3:]) + 0.5
    dark = [t.get_text() for t in ax.texts if t.get_color() == "white"]
    assert dark == [VERDICTS[v] for v in SILENT]
    plt.close("all")


def face(patch):
    """Return the colour of a field."""
    return patch.get_facecolor()


def attempt_like(verdict: str):
    """Return an outcome with nothing but a verdict."""
    from enormous.teach.readers import Outcome

    return Outcome(verdict, None, "", "")


def numbers_alone(names: list[str]) -> list[str]:
    """Sort by the numbers and forget the text between them."""
    return sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("readers-2", sorted, "digits as numbers"),
        ("readers-2", numbers_alone, "the rest as text"),
        ("readers-3", lambda volume: len(volume) // 2, "not there"),
        ("readers-4", lambda path, z: tifffile.imread(path)[z], "of the file"),
        ("readers-4", lambda path, z: tifffile.imread(path, key=0), "not what was written"),
    ],
)
def test_wrong_answers_hear_why(name, answer, hint, capsys) -> None:
    check(name, answer)
    said = capsys.readouterr().out
    assert "not yet" in said
    assert hint in said
