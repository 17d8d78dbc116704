"""The chapters' code on a real scan, where one is present: claims must not hold for twins only.

The scan is a folder ``hoa_heart.zarr`` (x, y, z order, 8 bit) named by ENORMOUS_REAL_HEART, or
beside the repository in ``../shared/data``. It takes the place of the sample in each chapter
that has the line below; everything else, assertions included, runs unchanged.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = Path(
    os.environ.get("ENORMOUS_REAL_HEART", ROOT.parent / "shared" / "data" / "hoa_heart.zarr")
)
LINE = 'heart = samples.generate("heart", "small")'
CHAPTERS = sorted(p for p in (ROOT / "book").glob("[0-9]-*/*.md") if LINE in p.read_text("utf-8"))


def test_there_are_chapters_to_try() -> None:
    assert len(CHAPTERS) >= 2


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real heart here (set ENORMOUS_REAL_HEART)")
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_holds_on_the_real_heart(chapter: Path, tmp_path: Path) -> None:
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.reads(chapter.read_text("utf-8"), fmt="md:myst")
    # 8 bit to the sample's dtype, so that byte counts in the text hold; values keep their noise
    real = (
        f"import zarr as _zarr; heart = _zarr.open_array({str(REAL)!r}, mode='r')[:]"
        ".T.astype('uint16', order='C') * 257"
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace(LINE, real)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises CellExecutionError, with the cell, where a claim fails
